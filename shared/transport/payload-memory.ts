import { fstatSync, ftruncateSync, readSync, writeSync, writevSync } from 'node:fs';
import type { PayloadPlace } from '../protocol/frame.js';

/*
 * A file in memory through which one process gives payloads to another. Read and written by system calls and never
 * mapped, so that a full `/dev/shm` is an error and not a signal.
 *
 *   0     the number of the payload read last, u64, twice: written by the reader, for the writer to know what is free
 *   4096  payloads, wherever there is room
 */

/** The reader's page. */
const firstOffset = 4_096;

/** A payload larger than this, or one for which so much is unread, is sent on the socket. */
export const maxFileBytes = 2 ** 30;

/** Payloads that may be unread. A reader that falls so far behind is not helped by speed. */
const maxUnread = 64;

interface Unread {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** The writer's side. It never waits: what finds no room is for the socket. */
export class OutgoingPayloads {
  #descriptor: number | null;
  /** Numbers go on from one connection to the next. */
  #lastNumber = 0;
  /** By place. */
  #unread: Unread[] = [];
  /** Where what was ever put ends: up to here the file has its memory. */
  #end = firstOffset;
  /** Where the file ends at most. */
  #limit = maxFileBytes;
  readonly #counter = new BigUint64Array(2);

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Bytes of the file, which are those of memory that it takes at most. */
  get fileBytes(): number {
    return this.#descriptor === null ? 0 : fstatSync(this.#descriptor).size;
  }

  /**
   * Copies a payload into the file.
   * @param maxBytes that may be unread
   * @returns where it lies; null if there is no room
   */
  put(pieces: readonly Uint8Array[], bytes: number, maxBytes: number): PayloadPlace | null {
    if (this.#descriptor === null) return null;
    try {
      this.#free(this.#descriptor);
      const offset = this.#offsetFor(bytes, Math.min(this.#limit, firstOffset + maxBytes));
      if (offset === null) return null;
      if (!written(this.#descriptor, pieces, bytes, offset)) return this.#giveUp(this.#descriptor);
      const number = ++this.#lastNumber;
      this.#unread.push({ number, start: offset, end: offset + bytes });
      this.#unread.sort((a, b) => a.start - b.start);
      this.#end = Math.max(this.#end, offset + bytes);
      return { number, offset };
    } catch {
      return this.#giveUp(this.#descriptor);
    }
  }

  /** Nobody reads what was put before: its connection is over. */
  forget(): void {
    this.#unread = [];
  }

  /** From now on there is no room. The descriptor's owner closes it. */
  close(): void {
    this.#descriptor = null;
  }

  /** Takes the reader's word for what is free: a false one spoils payloads, which their checksums tell. */
  #free(descriptor: number): void {
    if (this.#unread.length === 0) return;
    if (readSync(descriptor, this.#counter, 0, this.#counter.byteLength, 0) < this.#counter.byteLength)
      return;
    const [first, second] = this.#counter;
    // Two that differ were being written.
    if (first === second) this.#unread = this.#unread.filter(({ number }) => number > first);
  }

  /** The first room that there is: the file stays small, and its memory in the processors' caches. */
  #offsetFor(bytes: number, limit: number): number | null {
    if (this.#unread.length >= maxUnread) return null;
    let offset = firstOffset;
    for (const { start, end } of this.#unread) {
      if (start - offset >= bytes) return offset;
      offset = end;
    }
    return offset + bytes <= limit ? offset : null;
  }

  /** The memory was less than the limit. Gives back what was not needed before, and asks for no more again. */
  #giveUp(descriptor: number): null {
    this.#limit = this.#end;
    try {
      ftruncateSync(descriptor, this.#limit);
    } catch {
      this.#descriptor = null;
    }
    return null;
  }
}

/** Whether all of it found room. */
function written(descriptor: number, pieces: readonly Uint8Array[], bytes: number, offset: number): boolean {
  const [only] = pieces;
  if (pieces.length === 1) return writeSync(descriptor, only, 0, bytes, offset) === bytes;
  return writevSync(descriptor, pieces, offset) === bytes;
}

/** The reader's side. */
export class IncomingPayloads {
  #descriptor: number | null;
  #lastNumber = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /**
   * Copies a payload out of the file and frees its room. Payloads are taken once, in the order of their numbers.
   * @param bytes no more than the caller is ready to hold
   * @returns null if it does not lie there
   */
  take({ number, offset }: PayloadPlace, bytes: number): Uint8Array | null {
    if (this.#descriptor === null || number <= this.#lastNumber || offset < firstOffset) return null;
    try {
      if (offset + bytes > fstatSync(this.#descriptor).size) return null;
      // Alone in its buffer, and not filled with zeros first: all of it is overwritten, or dropped.
      const payload = Buffer.allocUnsafeSlow(bytes);
      if (readSync(this.#descriptor, payload, 0, bytes, offset) < bytes) return null;
      this.#lastNumber = number;
      this.#free(this.#descriptor, number);
      return payload;
    } catch {
      return null;
    }
  }

  /** Tells the writer. Where that cannot be written, the writer finds no room and sends by the socket. */
  #free(descriptor: number, number: number): void {
    try {
      writeSync(descriptor, BigUint64Array.of(BigInt(number), BigInt(number)), 0, 16, 0);
    } catch {}
  }

  /** From now on nothing lies there. The descriptor's owner closes it. */
  close(): void {
    this.#descriptor = null;
  }
}
