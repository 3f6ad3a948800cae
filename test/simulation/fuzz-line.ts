import { FrameDecoder } from '../../shared/protocol/frame.js';
import { type RejectCode, rejections } from '../../shared/protocol/reject.js';
import {
  type CloseInfo,
  type Connection,
  type ConnectionLimits,
  peerLimits,
} from '../../shared/transport/connection.js';
import { Inbox } from '../../shared/transport/inbox.js';

/** A connection whose other end is a test: what is delivered is decoded at once, what is sent is handed over as it is. */
export class FuzzLine implements Connection {
  readonly peer = 'fuzz';
  readonly bufferedBytes = 0;
  readonly ending: Promise<CloseInfo>;
  readonly closed: Promise<CloseInfo>;
  /** Null while it is open. */
  ended: CloseInfo | null = null;
  readonly #onSend: (message: unknown) => void;
  readonly #decoder = new FrameDecoder(peerLimits);
  readonly #inbox = new Inbox<{ body: unknown; payload: Uint8Array }>(64);
  #resolve: (info: CloseInfo) => void = () => {};

  constructor(onSend: (message: unknown) => void = () => {}) {
    this.#onSend = onSend;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.ending = this.closed;
  }

  /** The pieces arrive. */
  deliver(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      if (this.ended !== null) return;
      const decoded = this.#decoder.push(piece);
      if (decoded.status === 'refused') this.close(decoded.code);
      if (decoded.status === 'frame' && !this.#inbox.put(decoded)) this.close('out_of_order');
    }
  }

  send(body: object, _payload?: unknown, onReleased?: () => void): void {
    if (this.ended === null) this.#onSend((body as { message: unknown }).message);
    onReleased?.();
  }

  onMessage(receive: (body: unknown, payload: Uint8Array) => void): void {
    this.#inbox.listen(({ body, payload }) => receive(body, payload));
  }

  setLimits(limits: ConnectionLimits): void {
    this.#decoder.setLimits(limits);
  }

  close(code: RejectCode, reason: string = rejections[code]): void {
    this.#end({ code, reason, by: 'us' });
  }

  /** The other end hangs up. */
  hangUp(): void {
    this.#end({ code: 'lost', reason: 'the connection broke', by: 'network' });
  }

  #end(info: CloseInfo): void {
    if (this.ended !== null) return;
    this.ended = info;
    this.#inbox.clear();
    this.#resolve(info);
  }
}
