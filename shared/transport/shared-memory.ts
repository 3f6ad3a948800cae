import type { PayloadPlace } from '../protocol/frame.js';
import { IncomingPayloads, OutgoingPayloads } from './payload-memory.js';

/** Smaller payloads are sent with their frames: three system calls more would cost as much as they save. */
const leastBytes = 1_024;

/** Files in memory that two processes have open, one for each direction. */
export interface MemoryDescriptors {
  readonly incoming: number;
  readonly outgoing: number;
}

/** Memory that this process shares with one other, for the payloads of the connection between the two. */
export class SharedMemory {
  readonly #incoming: IncomingPayloads;
  readonly #outgoing: OutgoingPayloads;
  #line: MemoryLine | null = null;

  constructor({ incoming, outgoing }: MemoryDescriptors) {
    this.#incoming = new IncomingPayloads(incoming);
    this.#outgoing = new OutgoingPayloads(outgoing);
  }

  /**
   * The memory as one connection uses it. It belongs to the connection that came last: of one before, nothing is read
   * or written any more.
   * @param begins whether payloads may be put at once, as the other process already looks for them; else from when the
   * first is taken
   */
  lineFor({ begins }: { begins: boolean }): MemoryLine {
    this.#line?.cut();
    this.#outgoing.forget();
    this.#line = new MemoryLine(this.#incoming, this.#outgoing, begins);
    return this.#line;
  }

  /** Uses the descriptors no more. Whoever opened them closes them, after this. */
  close(): void {
    this.#incoming.close();
    this.#outgoing.close();
  }
}

/** Shared memory in the hands of one connection. */
export class MemoryLine {
  readonly #incoming: IncomingPayloads;
  readonly #outgoing: OutgoingPayloads;
  #phase: 'listening' | 'open' | 'cut';

  constructor(incoming: IncomingPayloads, outgoing: OutgoingPayloads, begins: boolean) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#phase = begins ? 'open' : 'listening';
  }

  /** @param maxBytes that may be unread. @returns null if the payload is to be sent on the socket */
  put(pieces: readonly Uint8Array[], bytes: number, maxBytes: number): PayloadPlace | null {
    if (this.#phase !== 'open' || bytes < leastBytes) return null;
    return this.#outgoing.put(pieces, bytes, maxBytes);
  }

  /** @returns null if there is no such payload */
  take(place: PayloadPlace, bytes: number): Uint8Array | null {
    if (this.#phase === 'cut') return null;
    const payload = this.#incoming.take(place, bytes);
    if (payload !== null) this.#phase = 'open';
    return payload;
  }

  cut(): void {
    this.#phase = 'cut';
  }
}
