import { z } from 'zod';
import type { CloseInfo, Connection, ConnectionLimits } from '../transport/connection.js';
import { Inbox } from '../transport/inbox.js';
import type { WorkerIdentity } from './auth.js';
import { count, name } from './fields.js';
import type { Payload } from './frame.js';
import { fitsToCoordinator, fitsToWorker } from './payload-length.js';
import { type RejectCode, rejections } from './reject.js';
import { type ToCoordinator, toCoordinator } from './to-coordinator.js';
import { type ToWorker, toWorker } from './to-worker.js';

/** Around every message: what it speaks for. The session adds it to what it sends and checks what arrives. */
const envelope = z.strictObject({ run: name, term: count, incarnation: count, message: z.unknown() });

/** Messages that may arrive before anyone listens. */
const earlyMessages = 64;

/** Stale messages are answered this often on one connection; a peer that goes on is closed. */
const maxRejections = 32;

/** Characters of a reason that come from what the peer sent. */
const maxDetailLength = 200;

interface Direction<Out, In> {
  readonly schema: z.ZodType<In>;
  /** Whether a payload of so many bytes can belong to the message. */
  fits(message: In, payloadBytes: number): boolean;
  /** The message that tells the peer that what it sent has no effect, where the direction has one. */
  readonly rejection: ((code: RejectCode) => Out) | null;
}

/**
 * An authenticated connection that speaks one direction's messages and hears the other's. What arrives is
 * valid, complete with its payload, and of this run, term and incarnation; everything else ends the
 * connection with a coded reason and never reaches the owner.
 */
export class Session<Out extends object, In> {
  readonly identity: WorkerIdentity;
  readonly #connection: Connection;
  readonly #direction: Direction<Out, In>;
  readonly #inbox = new Inbox<{ message: In; payload: Uint8Array }>(earlyMessages);
  #rejections = 0;

  constructor(connection: Connection, identity: WorkerIdentity, direction: Direction<Out, In>) {
    this.identity = identity;
    this.#connection = connection;
    this.#direction = direction;
    connection.onMessage((body, payload) => this.#take(body, payload));
  }

  /** Where the peer is, for logs. */
  get peer(): string {
    return this.#connection.peer;
  }

  /** Bytes sent but not yet handed to the network. */
  get bufferedBytes(): number {
    return this.#connection.bufferedBytes;
  }

  /** Resolves, once, when the connection has ended; never rejects. */
  get closed(): Promise<CloseInfo> {
    return this.#connection.closed;
  }

  /**
   * Sends a message; on a closed connection it does nothing.
   * @param payload lent to the session and not copied: leave it unchanged until `onReleased` is called
   */
  send(message: Out, payload?: Payload, onReleased?: () => void): void {
    const { run, term, incarnation } = this.identity;
    this.#connection.send({ run, term, incarnation, message }, payload, onReleased);
  }

  /**
   * Sets the receiver; messages that came before the first one are kept for it.
   * The payload belongs to the receiver, is aligned to 8 bytes and alone in its buffer.
   */
  onMessage(receive: (message: In, payload: Uint8Array) => void): void {
    this.#inbox.listen(({ message, payload }) => receive(message, payload));
  }

  /** Narrows what the peer may send, once the model and the batch are known. */
  setLimits(limits: ConnectionLimits): void {
    this.#connection.setLimits(limits);
  }

  /** Sends what is buffered, then ends the connection. */
  close(code: RejectCode, reason?: string): void {
    this.#inbox.clear();
    this.#connection.close(code, reason);
  }

  #take(body: unknown, payload: Uint8Array): void {
    const enveloped = envelope.safeParse(body);
    if (!enveloped.success) return this.#misbehaved(enveloped.error);
    const stale = staleness(this.identity, enveloped.data);
    if (stale !== null) return this.#reject(stale);
    const parsed = this.#direction.schema.safeParse(enveloped.data.message);
    if (!parsed.success) return this.#misbehaved(parsed.error);
    if (!this.#direction.fits(parsed.data, payload.byteLength)) {
      const reason = `${rejections.invalid_message} (a payload of ${payload.byteLength} bytes does not fit it)`;
      return this.close('invalid_message', reason);
    }
    if (!this.#inbox.put({ message: parsed.data, payload })) this.close('out_of_order');
  }

  #misbehaved(error: z.ZodError): void {
    const [issue] = error.issues;
    const detail = `${issue?.path.join('.')}: ${issue?.message}`.slice(0, maxDetailLength);
    this.close('invalid_message', `${rejections.invalid_message} (${detail})`);
  }

  #reject(code: RejectCode): void {
    this.#rejections += 1;
    const { rejection } = this.#direction;
    if (rejection === null || this.#rejections > maxRejections) this.close(code);
    else this.send(rejection(code));
  }
}

function staleness(ours: WorkerIdentity, theirs: z.infer<typeof envelope>): RejectCode | null {
  if (theirs.run !== ours.run) return 'wrong_run';
  if (theirs.term !== ours.term) return 'stale_term';
  return theirs.incarnation === ours.incarnation ? null : 'stale_incarnation';
}

/** The worker's end. */
export type WorkerSession = Session<ToCoordinator, ToWorker>;

/** The coordinator's end, one per worker. */
export type CoordinatorSession = Session<ToWorker, ToCoordinator>;

export function workerSession(connection: Connection, identity: WorkerIdentity): WorkerSession {
  return new Session(connection, identity, { schema: toWorker, fits: fitsToWorker, rejection: null });
}

export function coordinatorSession(connection: Connection, identity: WorkerIdentity): CoordinatorSession {
  return new Session(connection, identity, {
    schema: toCoordinator,
    fits: fitsToCoordinator,
    rejection: (code) => ({ type: 'rejected', code, message: rejections[code] }),
  });
}
