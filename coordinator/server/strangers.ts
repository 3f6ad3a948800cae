import type { Duplex } from 'node:stream';
import type { Clock } from '../../shared/clock.js';
import type { Connection } from '../../shared/transport/connection.js';
import type { Attempt, AttemptCode } from './attempts.js';

/** Addresses that are remembered; beyond it the oldest are forgotten. */
const maxAddresses = 4_096;

export interface StrangerLimits {
  /** Connections that have not authenticated, at one time. */
  readonly maxStrangers: number;
  /** The share of one address in them, so that it cannot keep all others out. */
  readonly maxStrangersPerAddress: number;
  /** From the first byte to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  /** Failed attempts of one address before it is turned away unheard… */
  readonly maxFailures: number;
  /** …until this long after its last one. */
  readonly failureWindowMs: number;
}

interface Stranger {
  readonly address: string;
  readonly peer: string;
  connection: Connection | null;
  readonly cancelDeadline: () => void;
}

/** Everyone who is connected but has not authenticated: how many, from where, for how long, how often they failed. */
export class Strangers {
  readonly #limits: StrangerLimits;
  readonly #clock: Clock;
  readonly #report: (attempt: Attempt) => void;
  readonly #present = new Map<Duplex, Stranger>();
  readonly #perAddress = new Map<string, number>();
  readonly #failures = new Map<string, { count: number; lastMs: number }>();

  constructor(limits: StrangerLimits, clock: Clock, report: (attempt: Attempt) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#report = report;
  }

  get size(): number {
    return this.#present.size;
  }

  /** Starts a stranger's deadline. False, and no deadline, if there are too many. */
  admit(stream: Duplex, address: string, peer: string): boolean {
    const fromThere = this.#perAddress.get(address) ?? 0;
    const { maxStrangers, maxStrangersPerAddress, handshakeTimeoutMs } = this.#limits;
    if (this.#present.size >= maxStrangers || fromThere >= maxStrangersPerAddress) {
      this.#report({ peer, code: 'too_many_strangers', reason: `${fromThere} others from there are here` });
      return false;
    }
    this.#perAddress.set(address, fromThere + 1);
    const cancelDeadline = this.#clock.after(handshakeTimeoutMs, () => {
      const { connection } = this.#present.get(stream) ?? { connection: null };
      if (connection !== null) return connection.close('handshake_timeout');
      this.turnedAway(stream, 'handshake_timeout', 'it opened no WebSocket in time');
      stream.destroy();
    });
    this.#present.set(stream, { address, peer, connection: null, cancelDeadline });
    stream.once('close', () => {
      // A WebSocket's own end, which comes next, says more.
      if (this.#present.get(stream)?.connection !== null) return;
      this.turnedAway(stream, 'lost', 'it left before it opened a WebSocket');
    });
    return true;
  }

  /** The stranger speaks our protocol's transport: it can be told why it is turned away. */
  connected(stream: Duplex, connection: Connection): void {
    const stranger = this.#present.get(stream);
    if (stranger !== undefined) stranger.connection = connection;
  }

  /** Not a stranger any more. */
  release(stream: Duplex): void {
    const stranger = this.#present.get(stream);
    if (stranger === undefined) return;
    stranger.cancelDeadline();
    this.#present.delete(stream);
    const others = (this.#perAddress.get(stranger.address) ?? 1) - 1;
    if (others === 0) this.#perAddress.delete(stranger.address);
    else this.#perAddress.set(stranger.address, others);
  }

  /** The stranger goes, and people are told why: once, whatever else becomes of its socket. */
  turnedAway(stream: Duplex, code: AttemptCode, reason: string): void {
    const stranger = this.#present.get(stream);
    if (stranger === undefined) return;
    this.release(stream);
    if (isFailure(code)) this.#failed(stranger.address);
    this.#report({ peer: stranger.peer, code, reason });
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
    for (const [stream, { connection }] of [...this.#present]) {
      if (connection === null) stream.destroy();
      else connection.close('goodbye');
      this.release(stream);
    }
  }

  #failed(address: string): void {
    const { count } = this.#failures.get(address) ?? { count: 0 };
    this.#failures.delete(address);
    this.#failures.set(address, { count: count + 1, lastMs: this.#clock.nowMs() });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > maxAddresses && oldest !== undefined) this.#failures.delete(oldest);
  }
}

/** Ends that a peer which holds the token does not come to, nor one that asks whether the port is open. */
function isFailure(code: AttemptCode): boolean {
  return ![
    'goodbye',
    'lost',
    'protocol_version',
    'too_many_strangers',
    'no_websocket',
    'origin_refused',
  ].includes(code);
}
