import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { oneLine } from '../one-line.js';
import {
  encodeHead,
  FrameDecoder,
  headOverheadBytes,
  type Payload,
  type SealedPayload,
  sealPayload,
} from '../protocol/frame.js';
import { type RejectCode, rejections } from '../protocol/reject.js';
import { closeCodeOf, closeStatusOf, closeText } from './close-status.js';
import { type CloseInfo, type Connection, type ConnectionLimits, peerLimits } from './connection.js';
import { Inbox } from './inbox.js';
import type { MemoryLine } from './shared-memory.js';

/**
 * A payload up to this size crosses in one message, a larger one in several: one huge message is slower, and is
 * held twice.
 */
const pieceBytes = 8 * 1_024 * 1_024;

/** Frames that may arrive before anyone listens: a setup, its weights and the first shards. */
const earlyFrames = 64;

/** What both ends give to `ws`. Tensors do not compress; every message of ours is binary. */
export const webSocketOptions = {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  maxPayload: Math.max(pieceBytes, peerLimits.maxHeaderBytes + headOverheadBytes),
  /** How long a peer may take to answer a close frame. */
  closeTimeout: 2_000,
} as const;

type State =
  | { readonly phase: 'open' }
  | { readonly phase: 'closing'; readonly info: CloseInfo }
  | { readonly phase: 'closed' };

interface Frame {
  readonly body: unknown;
  readonly payload: Uint8Array;
}

/** A connection over one open WebSocket; each piece of a frame is one binary message. */
export class WebSocketConnection implements Connection {
  readonly peer: string;
  readonly ending: Promise<CloseInfo>;
  readonly closed: Promise<CloseInfo>;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder;
  readonly #inbox = new Inbox<Frame>(earlyFrames);
  #limits: ConnectionLimits;
  #memory: MemoryLine | null = null;
  #receivedBytes = 0;
  #isGathering = false;
  #state: State = { phase: 'open' };
  #resolveEnding: (info: CloseInfo) => void = () => undefined;

  /** @param stream the socket under `socket`, whose bytes are counted */
  constructor(socket: WebSocket, stream: Duplex, peer: string, limits: ConnectionLimits) {
    this.peer = peer;
    this.#socket = socket;
    this.#stream = stream;
    this.#limits = limits;
    this.#decoder = new FrameDecoder(limits);
    stream.on('data', (bytes: Uint8Array) => this.#count(bytes.byteLength));
    socket.on('message', (piece: Buffer, isBinary: boolean) => this.#take(piece, isBinary));
    socket.on('error', (error: Error & { code?: string }) => {
      // ws has met a broken frame, and closes by itself; anything else comes with a plain close.
      if (this.#state.phase !== 'open' || error.code?.startsWith('WS_ERR_') !== true) return;
      const code = error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' ? 'oversize' : 'malformed';
      this.#end(code, error.message);
    });
    this.ending = new Promise((resolve) => {
      this.#resolveEnding = resolve;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', (status: number, reason: Buffer) => {
        const info = this.#state.phase === 'closing' ? this.#state.info : closedByPeer(status, reason);
        this.#state = { phase: 'closed' };
        this.#inbox.clear();
        this.#resolveEnding(info);
        resolve(info);
      });
    });
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(body: object, payload: Payload = [], onReleased?: () => void): void {
    if (this.#state.phase !== 'open') {
      onReleased?.();
      return;
    }
    if (this.bufferedBytes > this.#limits.maxBufferedBytes) {
      this.#end('unread', `${this.bufferedBytes} bytes are waiting to be read by ${this.peer}`);
      this.#socket.terminate();
      onReleased?.();
      return;
    }
    const sealed = 'pieces' in payload ? payload : sealPayload(payload);
    const place = this.#memory?.put(sealed.pieces, sealed.bytes, this.#limits.maxBufferedBytes) ?? undefined;
    const pieces = [encodeHead(body, sealed, place), ...(place === undefined ? messagesOf(sealed) : [])];
    this.#gather();
    pieces.forEach((piece, i) => {
      this.#socket.send(piece, i === pieces.length - 1 ? () => onReleased?.() : undefined);
    });
  }

  /**
   * One system call for what is sent in a turn of the event loop: weights and the order to use them wake the peer once.
   * Where processors are few, a peer that wakes takes the sender's, and the second peer waits for the first.
   */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#stream.cork();
    queueMicrotask(() => {
      this.#isGathering = false;
      this.#stream.uncork();
    });
  }

  onMessage(receive: (body: unknown, payload: Uint8Array) => void): void {
    this.#inbox.listen(({ body, payload }) => receive(body, payload));
  }

  setLimits(limits: ConnectionLimits): void {
    this.#limits = limits;
    this.#decoder.setLimits(limits);
    this.#receivedBytes = 0;
  }

  /** From now on payloads may cross in memory that both ends share; their frames' heads come as before, in order. */
  share(memory: MemoryLine): void {
    this.#memory = memory;
    this.#decoder.lookIn(memory);
  }

  close(code: RejectCode, reason: string = rejections[code]): void {
    if (this.#state.phase !== 'open') return;
    this.#end(code, reason);
    this.#socket.close(closeStatusOf(code), closeText(reason));
  }

  #end(code: RejectCode, reason: string): void {
    const info = { code, reason, by: 'us' } as const;
    this.#state = { phase: 'closing', info };
    this.#inbox.clear();
    this.#resolveEnding(info);
  }

  #count(bytes: number): void {
    const { maxReceivedBytes } = this.#limits;
    if (maxReceivedBytes === null || this.#state.phase === 'closed') return;
    this.#receivedBytes += bytes;
    if (this.#receivedBytes <= maxReceivedBytes) return;
    // A peer that floods is not waited for, not even for its close frame.
    if (this.#state.phase === 'open') this.close('oversize');
    else this.#socket.terminate();
  }

  #take(piece: Buffer, isBinary: boolean): void {
    if (this.#state.phase !== 'open') return;
    if (!isBinary) {
      this.close('malformed', 'You sent a text message; all of ours are binary.');
      return;
    }
    const decoded = this.#decoder.push(piece);
    if (decoded.status === 'refused')
      this.close(decoded.code, `${rejections[decoded.code]} (${decoded.detail})`);
    if (decoded.status === 'frame' && !this.#inbox.put(decoded)) this.close('out_of_order');
  }
}

function closedByPeer(status: number, reason: Buffer): CloseInfo {
  const code = closeCodeOf(status);
  if (code === 'lost') return { code, reason: `the connection broke (status ${status})`, by: 'network' };
  return { code, reason: oneLine(reason.toString()) || rejections[code], by: 'peer' };
}

/**
 * A payload as the messages that follow its frame's head. One that fits into a message is joined, as that message's
 * buffer becomes the payload at the other end: a copy here saves the larger one there, whose garbage makes the
 * collector stop the world.
 */
function messagesOf({ pieces, bytes }: SealedPayload): Uint8Array[] {
  if (pieces.length > 1 && bytes <= pieceBytes) return [Buffer.concat(pieces, bytes)];
  return pieces.flatMap(cut);
}

function cut(bytes: Uint8Array): Uint8Array[] {
  if (bytes.byteLength <= pieceBytes) return [bytes];
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.byteLength; offset += pieceBytes) {
    pieces.push(bytes.subarray(offset, offset + pieceBytes));
  }
  return pieces;
}
