import { encodeFrame, FrameDecoder, type Payload } from '../../../shared/protocol/frame.js';
import { type RejectCode, rejections } from '../../../shared/protocol/reject.js';
import {
  type CloseInfo,
  type Connection,
  type ConnectionLimits,
  peerLimits,
} from '../../../shared/transport/connection.js';
import { Inbox } from '../../../shared/transport/inbox.js';
import type { VirtualClock } from '../virtual-clock.js';
import type { SimulatedProcess } from './process.js';

/** What one direction of a line does to what is sent. */
export interface Direction {
  /** Of the next parcel. */
  latencyMs: () => number;
  /** Half-open: what is sent is lost, and nobody is told. */
  isDropping: boolean;
  /** Asked for each frame: whether to damage it, and where, as a fraction of its bytes. */
  damage: (() => number | null) | null;
  /** Told of each frame that is dropped or delayed. */
  onTouched: (() => void) | null;
}

export interface LineOptions {
  readonly clock: VirtualClock;
  /** The two processes; the first one is the coordinator's. */
  readonly processes: readonly [SimulatedProcess, SimulatedProcess];
  readonly names: readonly [string, string];
  readonly latencyMs: () => number;
  /** Whether frames travel as bytes. Otherwise the body is handed over as it is, and payloads are copied. */
  readonly encodes: boolean;
  /** Sees each frame when it is sent, and again when it arrives. */
  readonly onFrame: (
    line: Line,
    from: 0 | 1,
    body: unknown,
    payload: () => Uint8Array,
    moment: 'sent' | 'arrived',
  ) => void;
  /** A frame has other bytes than it had when it was sent, though nobody has damaged them. */
  readonly onSpoilt: () => void;
  /** Whether a frame is of this connection, and not repeated from another. */
  readonly isOwn: (line: Line, body: object) => boolean;
  /** An end is given up by its owner, or finds that the line is gone. */
  readonly onEnd: (line: Line, end: 0 | 1) => void;
}

type Parcel =
  | {
      kind: 'frame';
      body: object;
      /** Lent: whoever changes it before it was released changes what arrives. */
      pieces: readonly Uint8Array[];
      isEncoded: boolean;
      /** Where it is damaged, as a fraction of its bytes; null if it is not. */
      damagedAt: number | null;
      release: () => void;
    }
  | { kind: 'close'; info: CloseInfo }
  | { kind: 'raw'; bytes: Uint8Array };

/** Real closing handshakes give up after a while. */
const closeTimeoutMs = 2_000;

/** An ordered line between two processes, as TCP is, with a latency and faults for each direction. */
export class Line {
  readonly ends: readonly [LineEnd, LineEnd];
  /** `directions[i]`: what end i sends. */
  readonly directions: readonly [Direction, Direction];
  readonly options: LineOptions;
  isBroken = false;
  /** Once it is authenticated. */
  incarnation: number | null = null;

  constructor(options: LineOptions) {
    this.options = options;
    const direction = (): Direction => ({
      latencyMs: options.latencyMs,
      isDropping: false,
      damage: null,
      onTouched: null,
    });
    this.directions = [direction(), direction()];
    this.ends = [new LineEnd(this, 0), new LineEnd(this, 1)];
    // The system closes the sockets of a process that ends.
    options.processes.forEach((process, i) => {
      process.onDeath(() => this.#lose((1 - i) as 0 | 1, options.latencyMs()));
    });
  }

  /** Both ends find it broken at once; what is under way is lost. */
  cut(): void {
    if (this.isBroken) return;
    this.isBroken = true;
    this.#lose(0, 0);
    this.#lose(1, 0);
  }

  #lose(end: 0 | 1, afterMs: number): void {
    this.isBroken = true;
    const { clock, processes } = this.options;
    const lost: CloseInfo = { code: 'lost', reason: 'the connection broke', by: 'network' };
    clock.after(afterMs, () => processes[end].enter(() => this.ends[end].finish(lost)));
  }
}

export class LineEnd implements Connection {
  readonly peer: string;
  readonly ending: Promise<CloseInfo>;
  readonly closed: Promise<CloseInfo>;
  readonly #line: Line;
  readonly #side: 0 | 1;
  readonly #decoder = new FrameDecoder(peerLimits);
  readonly #inbox = new Inbox<{ body: unknown; payload: Uint8Array }>(64);
  /** What was lent for frames that are still under way. */
  readonly #lent = new Set<() => void>();
  #lastArrivalMs = 0;
  #reachedMs = Number.NEGATIVE_INFINITY;
  #bufferedBytes = 0;
  #phase: 'open' | 'closing' | 'closed' = 'open';
  #resolveEnding: (info: CloseInfo) => void = () => {};
  #resolveClosed: (info: CloseInfo) => void = () => {};

  constructor(line: Line, side: 0 | 1) {
    this.#line = line;
    this.#side = side;
    this.peer = line.options.names[1 - side];
    this.ending = new Promise((resolve) => {
      this.#resolveEnding = resolve;
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  get isOpen(): boolean {
    return this.#phase === 'open' && !this.#line.isBroken;
  }

  /** When something that the other end said itself came last, be it that the process here was stopped and could not see it. */
  get reachedMs(): number {
    return this.#reachedMs;
  }

  send(body: object, payload: Payload = [], onReleased?: () => void): void {
    if (this.#phase !== 'open') return onReleased?.();
    const { encodes, onFrame } = this.#line.options;
    const lent = 'pieces' in payload ? payload.pieces : payload;
    onFrame(this.#line, this.#side, body, () => joined(lent), 'sent');
    const damagedAt = this.#line.directions[this.#side].damage?.() ?? null;
    const release = (): void => {
      if (this.#lent.delete(release)) onReleased?.();
    };
    this.#lent.add(release);
    const pieces = encodes ? encodeFrame(body, payload) : lent;
    this.#post({ kind: 'frame', body, pieces, isEncoded: encodes, damagedAt, release });
  }

  /** Sends bytes that are no frame. */
  sendRaw(bytes: Uint8Array): void {
    this.#post({ kind: 'raw', bytes });
  }

  onMessage(receive: (body: unknown, payload: Uint8Array) => void): void {
    this.#inbox.listen(({ body, payload }) => receive(body, payload));
  }

  setLimits(limits: ConnectionLimits): void {
    this.#decoder.setLimits(limits);
  }

  close(code: RejectCode, reason: string = rejections[code]): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'closing';
    this.#inbox.clear();
    this.#line.options.onEnd(this.#line, this.#side);
    const info: CloseInfo = { code, reason, by: 'us' };
    this.#resolveEnding(info);
    this.#post({ kind: 'close', info });
    const { clock, processes } = this.#line.options;
    clock.after(closeTimeoutMs, () => processes[this.#side].enter(() => this.finish(info)));
  }

  finish(info: CloseInfo): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#line.options.onEnd(this.#line, this.#side);
    for (const release of [...this.#lent]) release();
    this.#resolveEnding(info);
    this.#resolveClosed(info);
  }

  #post(parcel: Parcel): void {
    const { clock, processes } = this.#line.options;
    const direction = this.#line.directions[this.#side];
    if (direction.isDropping || !processes[this.#side].isAlive) return direction.onTouched?.();
    direction.onTouched?.();
    const arrivalMs = Math.max(this.#lastArrivalMs, clock.nowMs() + direction.latencyMs());
    this.#lastArrivalMs = arrivalMs;
    clock.after(arrivalMs - clock.nowMs(), () => {
      if (this.#line.isBroken || direction.isDropping) return;
      const other = this.#line.ends[1 - this.#side];
      if (parcel.kind === 'frame' && this.#line.options.isOwn(this.#line, parcel.body))
        other.#reachedMs = arrivalMs;
      const arrived = unlent(parcel);
      processes[1 - this.#side].enter(() => {
        if (arrived.kind === 'close') this.finish(arrived.info);
        other.#take(arrived);
      });
    });
  }

  #take(parcel: Parcel): void {
    if (this.#phase === 'closed') return;
    if (parcel.kind === 'close') return this.finish({ ...parcel.info, by: 'peer' });
    if (this.#phase !== 'open') return;
    if (parcel.kind === 'raw') return void this.#decode(parcel.bytes);
    const { body, pieces, isEncoded, damagedAt } = parcel;
    if (!isEncoded) return damagedAt === null ? this.#put(body, pieces[0]) : this.close('checksum');
    for (const piece of pieces) {
      const refused = this.#phase === 'open' ? this.#decode(piece) : null;
      if (refused === 'checksum' && damagedAt === null) this.#line.options.onSpoilt();
    }
  }

  /** Gives why the bytes are refused, or null. */
  #decode(piece: Uint8Array): RejectCode | null {
    const decoded = this.#decoder.push(piece);
    if (decoded.status === 'frame') this.#put(decoded.body, decoded.payload);
    if (decoded.status !== 'refused') return null;
    this.close(decoded.code, rejections[decoded.code]);
    return decoded.code;
  }

  #put(body: unknown, payload: Uint8Array): void {
    const from = (1 - this.#side) as 0 | 1;
    this.#line.options.onFrame(this.#line, from, body, () => payload, 'arrived');
    if (!this.#inbox.put({ body, payload })) this.close('out_of_order');
  }
}

const none = new Uint8Array(0);

/** A parcel as it arrives, with bytes of its own: what was lent for it is given back. */
function unlent(parcel: Parcel): Parcel {
  if (parcel.kind !== 'frame') return parcel;
  const { pieces, isEncoded, damagedAt, release } = parcel;
  const [head, ...rest] = pieces;
  const own = isEncoded ? [head.slice(), ...(rest.length === 0 ? [] : [joined(rest)])] : [joined(pieces)];
  if (isEncoded && damagedAt !== null) damage(own, damagedAt);
  release();
  return { ...parcel, pieces: own };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 0) return none;
  if (pieces.length === 1) return new Uint8Array(pieces[0]);
  let bytes = 0;
  for (const piece of pieces) bytes += piece.byteLength;
  const whole = new Uint8Array(bytes);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.byteLength;
  }
  return whole;
}

/** Flips one bit. @param at where, as a fraction of all bytes */
function damage(pieces: readonly Uint8Array[], at: number): void {
  const total = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  let offset = Math.floor(at * total);
  for (const piece of pieces) {
    if (offset < piece.byteLength) {
      piece[offset] ^= 1 << (offset % 8);
      return;
    }
    offset -= piece.byteLength;
  }
}
