import type { Duplex } from 'node:stream';
import type { Clock } from '../../shared/clock.js';
import type { Connection } from '../../shared/transport/connection.js';

/** Addresses whose failures are remembered; beyond it the oldest are forgotten. */
const maxAddresses = 4_096;

export interface StrangerLimits {
  /** Connections that have not authenticated, at one time. */
  readonly maxStrangers: number;
  /** From the first byte to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  /** Failed attempts of one address before it is turned away unheard… */
  readonly maxFailures: number;
  /** …until this long after its last one. */
  readonly failureWindowMs: number;
}

interface Stranger {
  connection: Connection | null;
  readonly cancelDeadline: () => void;
}

/** Everyone who is connected but has not authenticated: how many, for how long, how often they failed. */
export class Strangers {
  readonly #limits: StrangerLimits;
  readonly #clock: Clock;
  readonly #present = new Map<Duplex, Stranger>();
  readonly #failures = new Map<string, { count: number; lastMs: number }>();

  constructor(limits: StrangerLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#present.size;
  }

  /** Starts a stranger's deadline. False, and no deadline, if there are too many. */
  admit(stream: Duplex): boolean {
    if (this.#present.size >= this.#limits.maxStrangers) return false;
    const cancelDeadline = this.#clock.after(this.#limits.handshakeTimeoutMs, () => {
      const { connection } = this.#present.get(stream) ?? { connection: null };
      if (connection === null) stream.destroy();
      else connection.close('handshake_timeout');
    });
    this.#present.set(stream, { connection: null, cancelDeadline });
    stream.once('close', () => this.release(stream));
    return true;
  }

  /** The stranger speaks our protocol's transport: it can be told why it is turned away. */
  connected(stream: Duplex, connection: Connection): void {
    const stranger = this.#present.get(stream);
    if (stranger !== undefined) stranger.connection = connection;
  }

  /** Not a stranger any more, or gone. */
  release(stream: Duplex): void {
    this.#present.get(stream)?.cancelDeadline();
    this.#present.delete(stream);
  }

  failed(address: string): void {
    const { count } = this.#failures.get(address) ?? { count: 0 };
    this.#failures.delete(address);
    this.#failures.set(address, { count: count + 1, lastMs: this.#clock.nowMs() });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > maxAddresses && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Whether this address has failed so often that it is not listened to for now. */
  isBarred(address: string): boolean {
    const failures = this.#failures.get(address);
    if (failures === undefined) return false;
    if (this.#clock.nowMs() - failures.lastMs > this.#limits.failureWindowMs) {
      this.#failures.delete(address);
      return false;
    }
    return failures.count >= this.#limits.maxFailures;
  }

  /** Ends everyone. */
  dismiss(): void {
    for (const [stream, { connection }] of this.#present) {
      if (connection === null) stream.destroy();
      else connection.close('goodbye');
    }
  }
}
