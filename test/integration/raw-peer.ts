import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { answer, type PeerHandshake, type WorkerIdentity } from '../../shared/protocol/auth.js';
import { encodeFrame, FrameDecoder } from '../../shared/protocol/frame.js';
import { protocolVersion } from '../../shared/protocol/version.js';
import { closeCodeOf } from '../../shared/transport/close-status.js';
import { type CloseCode, peerLimits } from '../../shared/transport/connection.js';

type Message = { readonly type: string } & Readonly<Record<string, unknown>>;

/** A peer that can say anything at all: it speaks the transport, the handshake if asked, and else what a test wants. */
export class RawPeer {
  /** What it was told after the handshake. */
  readonly heard: Message[] = [];
  readonly closed: Promise<CloseCode>;
  onHeard: (message: Message) => void = () => {};
  readonly #socket: WebSocket;
  readonly #decoder = new FrameDecoder(peerLimits);
  #onBody: (body: unknown) => void = () => {};
  #identity: WorkerIdentity | null = null;

  constructor(url: string) {
    this.#socket = new WebSocket(url, { perMessageDeflate: false });
    this.#socket.on('error', () => {});
    this.#socket.on('message', (piece: Buffer) => {
      const decoded = this.#decoder.push(piece);
      if (decoded.status === 'frame') this.#onBody(decoded.body);
    });
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', (status: number) => resolve(closeCodeOf(status)));
    });
  }

  static async stranger(url: string): Promise<RawPeer> {
    const peer = new RawPeer(url);
    await once(peer.#socket, 'open');
    return peer;
  }

  static async authenticated(
    url: string,
    token: string,
    role: 'worker' | 'observer' = 'worker',
  ): Promise<RawPeer> {
    const peer = new RawPeer(url);
    const nonce = randomBytes(32).toString('hex');
    let handshake: PeerHandshake = { phase: 'connected', role, token, protocol: protocolVersion, nonce };
    await new Promise<void>((resolve, reject) => {
      void peer.closed.then((code) => reject(new RangeError(`closed: ${code}`)));
      peer.#onBody = (body) => {
        const step = answer(handshake, body);
        if (step.status === 'refused') return reject(new RangeError(step.detail));
        if (step.status === 'reply') {
          handshake = step.next;
          return peer.send(step.send);
        }
        peer.#identity = step.identity;
        peer.#onBody = (enveloped) => {
          const { message } = enveloped as { message: Message };
          peer.heard.push(message);
          peer.onHeard(message);
        };
        resolve();
      };
    });
    return peer;
  }

  /** A message in its envelope, of which `wrong` may change fields. */
  say(message: object, payload: Uint8Array[] = [], wrong: object = {}): void {
    const { run, term, incarnation } = this.#identity ?? { run: '', term: 0, incarnation: 0 };
    this.send({ run, term, incarnation, ...wrong, message }, payload);
  }

  send(body: object, payload: Uint8Array[] = []): void {
    for (const piece of encodeFrame(body, payload)) this.sendBytes(piece);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  end(): void {
    this.#socket.terminate();
  }
}
