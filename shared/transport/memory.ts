import { encodeFrame, FrameDecoder, type Payload } from '../protocol/frame.js';
import { type RejectCode, rejections } from '../protocol/reject.js';
import { type CloseInfo, type Connection, type ConnectionLimits, peerLimits } from './connection.js';
import { Inbox } from './inbox.js';

/** Runs `deliver` later: after a latency of its choice, but never within the call. */
export type Schedule = (deliver: () => void) => void;

export interface MemoryPairOptions {
  /** Default: the next turn of the event loop. */
  readonly schedule?: Schedule;
  readonly limits?: ConnectionLimits;
  /** Names of the two ends, as the other end sees them. */
  readonly peers?: readonly [string, string];
}

export interface MemoryPair {
  readonly ends: readonly [Connection, Connection];
  /** Breaks the line at once, as a pulled cable does: what is under way is lost. */
  breakLine(): void;
}

type Parcel = { kind: 'frame'; pieces: Uint8Array[]; bytes: number } | { kind: 'close'; info: CloseInfo };

/**
 * Two connected ends in one process. Frames are encoded, copied and decoded as on a wire; they keep their
 * order whatever the scheduler does with single deliveries.
 */
export function createMemoryPair({
  schedule = (deliver) => void setImmediate(deliver),
  limits = peerLimits,
  peers = ['memory:a', 'memory:b'],
}: MemoryPairOptions = {}): MemoryPair {
  const a = new MemoryConnection(peers[1], schedule, limits);
  const b = new MemoryConnection(peers[0], schedule, limits);
  a.join(b);
  b.join(a);
  return {
    ends: [a, b],
    breakLine: () => {
      for (const end of [a, b]) end.finish({ code: 'lost', reason: 'the connection broke', by: 'network' });
    },
  };
}

class MemoryConnection implements Connection {
  readonly peer: string;
  readonly ending: Promise<CloseInfo>;
  readonly closed: Promise<CloseInfo>;
  readonly #schedule: Schedule;
  readonly #decoder: FrameDecoder;
  readonly #inbox = new Inbox<{ body: unknown; payload: Uint8Array }>(64);
  #other: MemoryConnection | null = null;
  #limits: ConnectionLimits;
  /** Sent by this end, not yet delivered. */
  #underWay: Parcel[] = [];
  #bufferedBytes = 0;
  #receivedBytes = 0;
  #phase: 'open' | 'closing' | 'closed' = 'open';
  #resolveEnding: (info: CloseInfo) => void = () => undefined;
  #resolveClosed: (info: CloseInfo) => void = () => undefined;

  constructor(peer: string, schedule: Schedule, limits: ConnectionLimits) {
    this.peer = peer;
    this.#schedule = schedule;
    this.#limits = limits;
    this.#decoder = new FrameDecoder(limits);
    this.ending = new Promise((resolve) => {
      this.#resolveEnding = resolve;
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  join(other: MemoryConnection): void {
    this.#other = other;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(body: object, payload?: Payload, onReleased?: () => void): void {
    if (this.#phase === 'open') {
      if (this.#bufferedBytes > this.#limits.maxBufferedBytes) {
        const reason = `${this.#bufferedBytes} bytes are waiting to be read by ${this.peer}`;
        this.finish({ code: 'unread', reason, by: 'us' });
        this.#other?.finish({ code: 'lost', reason: 'the connection broke', by: 'network' });
      } else {
        const [head, ...rest] = encodeFrame(body, payload);
        const pieces = rest.length === 0 ? [head] : [head, joined(rest)];
        const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
        this.#bufferedBytes += bytes;
        this.#post({ kind: 'frame', pieces, bytes });
      }
    }
    if (onReleased !== undefined) this.#schedule(onReleased);
  }

  onMessage(receive: (body: unknown, payload: Uint8Array) => void): void {
    this.#inbox.listen(({ body, payload }) => receive(body, payload));
  }

  setLimits(limits: ConnectionLimits): void {
    this.#limits = limits;
    this.#decoder.setLimits(limits);
    this.#receivedBytes = 0;
  }

  close(code: RejectCode, reason: string = rejections[code]): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'closing';
    this.#inbox.clear();
    const info = { code, reason, by: 'us' } as const;
    this.#resolveEnding(info);
    this.#post({ kind: 'close', info });
  }

  /** Ends this side alone. */
  finish(info: CloseInfo): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#underWay = [];
    this.#bufferedBytes = 0;
    this.#resolveEnding(info);
    this.#resolveClosed(info);
  }

  #post(parcel: Parcel): void {
    this.#underWay.push(parcel);
    this.#schedule(() => this.#deliver());
  }

  #deliver(): void {
    const parcel = this.#underWay.shift();
    if (parcel === undefined || this.#other === null) return;
    if (parcel.kind === 'close') {
      this.finish(parcel.info);
      this.#other.finish({ ...parcel.info, by: 'peer' });
      return;
    }
    this.#bufferedBytes -= parcel.bytes;
    for (const piece of parcel.pieces) this.#other.#take(piece);
  }

  #take(piece: Uint8Array): void {
    if (this.#phase !== 'open') return;
    this.#receivedBytes += piece.byteLength;
    if (this.#limits.maxReceivedBytes !== null && this.#receivedBytes > this.#limits.maxReceivedBytes) {
      this.close('oversize');
      return;
    }
    const decoded = this.#decoder.push(piece);
    if (decoded.status === 'refused')
      this.close(decoded.code, `${rejections[decoded.code]} (${decoded.detail})`);
    if (decoded.status === 'frame' && !this.#inbox.put(decoded)) this.close('out_of_order');
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.byteLength;
  }
  return whole;
}
