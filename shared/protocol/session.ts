import { z } from 'zod';
import { type Clock, systemClock } from '../clock.js';
import type { CloseInfo, Connection, ConnectionLimits } from '../transport/connection.js';
import { Inbox } from '../transport/inbox.js';
import type { WorkerIdentity } from './auth.js';
import { count, maxShards, name } from './fields.js';
import type { Payload } from './frame.js';
import { type FrameAllowance, FrameBudget } from './frame-budget.js';
import { type FromObserver, fromObserver, type ToObserver, toObserver } from './observing.js';
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
  /** How much the peer may say. */
  readonly allowance: FrameAllowance;
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
  readonly #budget: FrameBudget;
  #rejections = 0;

  constructor(
    connection: Connection,
    identity: WorkerIdentity,
    direction: Direction<Out, In>,
    clock: Clock = systemClock,
  ) {
    this.identity = identity;
    this.#connection = connection;
    this.#direction = direction;
    this.#budget = new FrameBudget(direction.allowance, clock);
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

  /** Resolves, once, when nothing can be received any more, be it that the peer has not answered a close; never rejects. */
  get ending(): Promise<CloseInfo> {
    return this.#connection.ending;
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
    this.#budget.sent();
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
    if (!this.#budget.take()) return this.close('too_many_messages');
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

/** The end of one who only looks. */
export type ObserverSession = Session<FromObserver, ToObserver>;

/** The coordinator's end, one per observer. */
export type ObservedSession = Session<ToObserver, FromObserver>;

/** A worker answers what it is sent, with at most two messages each, and sends heartbeats. */
const workerAllowance: FrameAllowance = {
  burst: 1_024,
  perSecond: 100,
  perMessage: 2,
  most: 4 * maxShards,
};

/** A coordinator sends the data of all shards of a round and of the next one at once. */
const coordinatorAllowance: FrameAllowance = {
  burst: 4 * maxShards,
  perSecond: 20_000,
  perMessage: 1,
  most: 4 * maxShards,
};

/** An observer asks a few times a second. */
const observerAllowance: FrameAllowance = { burst: 8, perSecond: 4, perMessage: 0, most: 8 };

export function workerSession(
  connection: Connection,
  identity: WorkerIdentity,
  clock?: Clock,
): WorkerSession {
  const direction = {
    schema: toWorker,
    fits: fitsToWorker,
    rejection: null,
    allowance: coordinatorAllowance,
  };
  return new Session(connection, identity, direction, clock);
}

export function coordinatorSession(
  connection: Connection,
  identity: WorkerIdentity,
  clock?: Clock,
): CoordinatorSession {
  const direction: Direction<ToWorker, ToCoordinator> = {
    schema: toCoordinator,
    fits: fitsToCoordinator,
    rejection: (code) => ({ type: 'rejected', code, message: rejections[code] }),
    allowance: workerAllowance,
  };
  return new Session(connection, identity, direction, clock);
}

export function observerSession(connection: Connection, identity: WorkerIdentity): ObserverSession {
  const direction: Direction<FromObserver, ToObserver> = {
    schema: toObserver,
    fits: (_, payloadBytes) => payloadBytes === 0,
    rejection: null,
    allowance: { burst: 64, perSecond: 64, perMessage: 1, most: 64 },
  };
  return new Session(connection, identity, direction);
}

export function observedSession(
  connection: Connection,
  identity: WorkerIdentity,
  clock?: Clock,
): ObservedSession {
  const direction: Direction<ToObserver, FromObserver> = {
    schema: fromObserver,
    fits: (_, payloadBytes) => payloadBytes === 0,
    rejection: null,
    allowance: observerAllowance,
  };
  return new Session(connection, identity, direction, clock);
}
