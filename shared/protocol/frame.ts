import { Packr, Unpackr } from 'msgpackr';
import { z } from 'zod';
import { invariant } from '../errors.js';
import { checksumOf } from './checksum.js';
import { padded } from './padding.js';
import { isPlainMsgpack } from './plain-msgpack.js';
import type { RejectCode } from './reject.js';

/*
 * A frame:  u32 checksum · u32 header length · msgpack header · zeros to a multiple of 8 · raw payload
 *
 * All but the payload is the frame's head; both numbers are little-endian. The checksum is the CRC-32 of the rest of
 * the head, and the header holds the payload's: no byte of a frame can change unseen. A frame crosses a transport in one or more pieces: the first begins
 * with the whole head, and no piece holds bytes of two frames. docs/protocol.md has the reasons.
 */

const checksumBytes = 4;
/** The checksum and the header's length. */
const prefixBytes = 8;

/** What the header holds around the message: enough to judge the payload before it has arrived. */
const frameHeader = z.strictObject({
  payloadBytes: z.int().nonnegative(),
  /** CRC-32 of the payload; 0 for an empty one. */
  payloadCrc32: z.int().nonnegative().max(0xffff_ffff),
  /** Where the payload lies in memory that both ends share; absent if it follows. */
  place: z.strictObject({ number: z.int().positive(), offset: z.int().nonnegative() }).optional(),
  body: z.unknown(),
});

type FrameHeader = z.infer<typeof frameHeader>;

/** Of a payload in shared memory: its number among those that were put there, and where it begins. */
export type PayloadPlace = NonNullable<FrameHeader['place']>;

/** Where payloads lie that do not follow their frames' heads. */
export interface PayloadStore {
  /** Gives a payload, alone in its buffer and once; null if there is none. */
  take(place: PayloadPlace, bytes: number): Uint8Array | null;
}

export interface FrameLimits {
  readonly maxHeaderBytes: number;
  readonly maxPayloadBytes: number;
}

/** The most bytes a frame's head has beyond its header: the length field and the padding. */
export const headOverheadBytes = 16;

export type Decoded =
  | { readonly status: 'incomplete' }
  | { readonly status: 'frame'; readonly body: unknown; readonly payload: Uint8Array }
  | { readonly status: 'refused'; readonly code: RejectCode; readonly detail: string };

/** Like JSON, an absent property is left out; msgpackr's own default is an extension type. */
const packrOptions = { useRecords: false, skipValues: [undefined] };
const packr = new Packr(packrOptions);
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

/** A payload whose checksum is known, so that sending it to many peers computes it once. */
export interface SealedPayload {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  readonly crc32: number;
}

/** What follows a header: the concatenation of arrays, which are lent and not copied. */
export type Payload = readonly Uint8Array[] | SealedPayload;

/** Reads every byte once; none may change from here until all peers have been sent to. */
export function sealPayload(pieces: readonly Uint8Array[]): SealedPayload {
  return {
    pieces: pieces.filter((piece) => piece.byteLength > 0),
    bytes: pieces.reduce((sum, piece) => sum + piece.byteLength, 0),
    crc32: checksumOf(pieces),
  };
}

/**
 * The pieces of a frame: its head, then the payload's own arrays, not copied.
 * @param body plain data, as in JSON
 */
export function encodeFrame(body: object, payload: Payload = []): Uint8Array[] {
  const sealed = 'pieces' in payload ? payload : sealPayload(payload);
  return [encodeHead(body, sealed), ...sealed.pieces];
}

/**
 * A frame's head alone.
 * @param place where the payload lies, if it does not follow
 */
export function encodeHead(
  body: object,
  { bytes, crc32 }: Pick<SealedPayload, 'bytes' | 'crc32'>,
  place?: PayloadPlace,
): Uint8Array {
  const header = packr.pack({ payloadBytes: bytes, payloadCrc32: crc32, place, body });
  invariant(isPlainMsgpack(header), 'a message holds something that is not plain data');
  const head = new Uint8Array(padded(prefixBytes + header.byteLength));
  const numbers = new DataView(head.buffer);
  numbers.setUint32(checksumBytes, header.byteLength, true);
  head.set(header, prefixBytes);
  numbers.setUint32(0, checksumOf([head.subarray(checksumBytes)]), true);
  return head;
}

interface OpenFrame {
  readonly body: unknown;
  readonly payloadBytes: number;
  readonly payloadCrc32: number;
  /** Null until a piece arrives that is not the whole payload. */
  payload: Uint8Array | null;
  received: number;
  /** CRC-32 of what was received: read while it is warm in the cache, and while the rest is under way. */
  crc32: number;
}

/** Puts the pieces of one connection's frames together. Never throws on what a peer sends. */
export class FrameDecoder {
  #limits: FrameLimits;
  #store: PayloadStore | null = null;
  #open: OpenFrame | null = null;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** From the next frame on. */
  setLimits(limits: FrameLimits): void {
    this.#limits = limits;
  }

  /** From now on payloads may lie there. */
  lookIn(store: PayloadStore): void {
    this.#store = store;
  }

  /**
   * Takes the next piece. A frame's payload is alone in its buffer, so that it is aligned, can be written to
   * and can be transferred to a thread. After a refusal the decoder must not be used again.
   */
  push(piece: Uint8Array): Decoded {
    if (this.#open !== null) {
      return piece.byteLength === 0 ? refused('malformed', 'an empty piece') : this.#take(this.#open, piece);
    }
    if (piece.byteLength < prefixBytes) return refused('malformed', 'a frame shorter than its length field');
    const numbers = new DataView(piece.buffer, piece.byteOffset);
    const headerBytes = numbers.getUint32(checksumBytes, true);
    const { maxHeaderBytes, maxPayloadBytes } = this.#limits;
    if (headerBytes > maxHeaderBytes) {
      return refused('oversize', `a header of ${headerBytes} bytes, at most ${maxHeaderBytes}`);
    }
    const headBytes = padded(prefixBytes + headerBytes);
    if (piece.byteLength < headBytes) return refused('malformed', 'a frame shorter than its header');
    if (checksumOf([piece.subarray(checksumBytes, headBytes)]) !== numbers.getUint32(0, true)) {
      return refused('checksum', `a header of ${headerBytes} bytes`);
    }
    const header = decodeHeader(piece.subarray(prefixBytes, prefixBytes + headerBytes));
    if (header === null) return refused('malformed', 'a header that is not plain data of the right form');
    if (header.payloadBytes > maxPayloadBytes) {
      return refused('oversize', `a payload of ${header.payloadBytes} bytes, at most ${maxPayloadBytes}`);
    }
    if (header.place !== undefined) {
      if (piece.byteLength > headBytes) return refused('malformed', 'a payload both here and elsewhere');
      return this.#fetch(header, header.place);
    }
    this.#open = { ...header, payload: null, received: 0, crc32: 0 };
    return this.#take(this.#open, piece.subarray(headBytes));
  }

  /** A payload that lies elsewhere: judged like one that has come. */
  #fetch({ body, payloadBytes, payloadCrc32 }: FrameHeader, place: PayloadPlace): Decoded {
    const payload = this.#store?.take(place, payloadBytes) ?? null;
    if (payload === null) return refused('malformed', 'a payload in memory where there is none');
    if (checksumOf([payload]) !== payloadCrc32) {
      return refused('checksum', `a payload of ${payloadBytes} bytes in memory`);
    }
    return { status: 'frame', body, payload };
  }

  /** The next bytes of the open frame's payload; a payload that comes alone in one buffer is not copied. */
  #take(open: OpenFrame, bytes: Uint8Array): Decoded {
    if (bytes.byteLength > open.payloadBytes - open.received) {
      return refused('malformed', 'more payload than the header announced');
    }
    if (open.payload === null && bytes.byteLength === open.payloadBytes && isWholeBuffer(bytes)) {
      open.payload = bytes;
    } else if (bytes.byteLength > 0) {
      open.payload ??= new Uint8Array(open.payloadBytes);
      open.payload.set(bytes, open.received);
    }
    open.received += bytes.byteLength;
    open.crc32 = checksumOf([bytes], open.crc32);
    if (open.received < open.payloadBytes) return { status: 'incomplete' };
    const payload = open.payload ?? new Uint8Array(0);
    this.#open = null;
    if (open.crc32 !== open.payloadCrc32) {
      return refused('checksum', `a payload of ${open.payloadBytes} bytes`);
    }
    return { status: 'frame', body: open.body, payload };
  }
}

const isWholeBuffer = (bytes: Uint8Array): boolean => bytes.byteLength === bytes.buffer.byteLength;

function decodeHeader(bytes: Uint8Array): FrameHeader | null {
  if (!isPlainMsgpack(bytes)) return null;
  try {
    return frameHeader.safeParse(unpackr.unpack(bytes)).data ?? null;
  } catch {
    return null;
  }
}

function refused(code: RejectCode, detail: string): Decoded {
  return { status: 'refused', code, detail };
}
