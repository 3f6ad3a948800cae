import type { BackendName } from '../shared/backends.js';
import { type Clock, systemClock } from '../shared/clock.js';
import { maxShards } from '../shared/protocol/fields.js';
import { peerLimits } from '../shared/transport/connection.js';
import { setBackendEnvironment } from './backend/environment.js';
import { ComputeThread } from './thread.js';
import { bytesOf, ThreadLoad } from './thread-load.js';
import type { FromThread, ToThread } from './thread-messages.js';
import type { ThreadBreak, ThreadListener, ThreadOwner, ThreadPort } from './thread-port.js';

/** How long a thread may go on with a shard that nobody wants any more. */
const abandonAfterMs = 60_000;

/** Messages that may wait for the thread: as many as a coordinator may send at once. */
const maxWaitingMessages = 4 * maxShards;

/** Backends without native code: a thread that computes on them ends when it is told to, wherever it is. */
const endable: ReadonlySet<BackendName> = new Set(['wasm', 'cpu']);

/** A running compute thread. */
export interface ThreadHandle {
  /** Messages that it has handled. */
  readonly handled: number;
  post(message: ToThread, transfer: readonly ArrayBuffer[]): void;
  /** Ends it, also in the middle of a computation. Gives false if it does not end. */
  stop(): Promise<boolean>;
}

export type StartThread = (threads: number, listener: ThreadListener) => ThreadHandle;

interface Parcel {
  readonly message: ToThread;
  readonly bytes: number;
  readonly transfer: readonly ArrayBuffer[];
}

/**
 * The process's compute thread, handed on from one incarnation of the worker to the next. It starts with the first
 * setup, which says how many threads compute.
 *
 * A thread that is detached drops what it was asked for between two shards. One that does not come to the end of a
 * shard is ended, and another takes its place; not with native code, which may not hear that it is to end, and of which
 * TensorFlow allows a process one compute thread (docs/decisions/0005).
 *
 * What the thread holds is bounded: who posts more is told, and what it posted is dropped.
 */
export class ComputeHost implements ThreadPort {
  readonly #clock: Clock;
  readonly #startThread: StartThread;
  #thread: ThreadHandle | null = null;
  #threads = 1;
  #owner: ThreadOwner | null = null;
  /** Resets that the thread has not confirmed: until then it answers what nobody wants. */
  #unconfirmed = 0;
  /** For the thread, once it has confirmed. */
  #waiting: Parcel[] = [];
  #stopWatching: (() => void) | null = null;
  #broken: { cause: ThreadBreak; reason: string } | null = null;
  #load = new ThreadLoad();
  /** Of what waits for a thread that has not confirmed. */
  #waitingLoad = new ThreadLoad();
  /** Whether native code is, or may be, loaded. */
  #mayHoldNativeCode = true;
  readonly #maxHeldBytes: number;

  /** @param maxHeldBytes of the weights and data that the thread may hold. Default 6 GiB */
  constructor({
    clock = systemClock,
    startThread = startComputeThread,
    maxHeldBytes = 3 * peerLimits.maxPayloadBytes,
  }: { clock?: Clock; startThread?: StartThread; maxHeldBytes?: number } = {}) {
    this.#clock = clock;
    this.#startThread = startThread;
    this.#maxHeldBytes = maxHeldBytes;
  }

  attach(owner: ThreadOwner): void {
    this.#owner = owner;
    if (this.#broken !== null) owner.onBroken(this.#broken.cause, this.#broken.reason);
  }

  detach(): void {
    this.#owner = null;
    this.#waiting = [];
    this.#waitingLoad = new ThreadLoad();
    if (this.#thread === null) return;
    this.#unconfirmed += 1;
    const reset = { type: 'reset' } as const;
    this.#hand(this.#thread, { message: reset, bytes: bytesOf(reset), transfer: [] });
    this.#stopWatching ??= this.#clock.after(abandonAfterMs, () => this.#abandon());
  }

  post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    if (message.type === 'setup') {
      this.#threads = message.setup.threads;
      this.#thread ??= this.#start();
    }
    if (this.#thread === null) return;
    const load = this.#unconfirmed > 0 ? this.#waitingLoad : this.#load;
    this.#load.handled(this.#thread.handled);
    const bytes = bytesOf(message);
    const heldBytes = this.#load.bytes + this.#waitingLoad.bytes + bytes;
    if (heldBytes > this.#maxHeldBytes || load.messages >= maxWaitingMessages) {
      const what = `${load.messages} messages wait for it, and it would hold ${heldBytes} bytes`;
      this.#owner?.onOverload(`the compute thread is behind: ${what}`);
      return;
    }
    if (this.#unconfirmed === 0) return this.#hand(this.#thread, { message, bytes, transfer });
    this.#waitingLoad.posted(message, bytes);
    this.#waiting.push({ message, bytes, transfer });
  }

  /** Ends the thread, also in the middle of a computation. Gives false if it does not end. */
  async stop(): Promise<boolean> {
    this.#stopWatching?.();
    this.#stopWatching = null;
    return (await this.#thread?.stop()) ?? true;
  }

  #start(): ThreadHandle {
    return this.#startThread(this.#threads, {
      onAnswer: (answer) => this.#hear(answer),
      onBroken: (cause, reason) => this.#break(cause, reason),
    });
  }

  #hear(answer: FromThread): void {
    if (answer.type === 'ready') this.#mayHoldNativeCode = !endable.has(answer.fingerprint.backend);
    if (answer.type === 'reset') return this.#confirm();
    if (this.#unconfirmed === 0) this.#owner?.onAnswer(answer);
  }

  #confirm(): void {
    this.#unconfirmed -= 1;
    if (this.#unconfirmed > 0) return;
    this.#stopWatching?.();
    this.#stopWatching = null;
    this.#flush();
  }

  #flush(): void {
    this.#waitingLoad = new ThreadLoad();
    for (const parcel of this.#waiting.splice(0)) if (this.#thread !== null) this.#hand(this.#thread, parcel);
  }

  #hand(thread: ThreadHandle, { message, bytes, transfer }: Parcel): void {
    this.#load.posted(message, bytes);
    thread.post(message, transfer);
  }

  /** The thread still computes what nobody wants. */
  #abandon(): void {
    this.#stopWatching = null;
    const reason = `a shard of a connection that was lost still computes after ${abandonAfterMs / 1_000} s`;
    if (this.#mayHoldNativeCode) {
      return this.#break(
        'stuck',
        `${reason}, and its native code allows this process no other compute thread`,
      );
    }
    void this.#thread?.stop();
    this.#unconfirmed = 0;
    this.#mayHoldNativeCode = true;
    this.#load = new ThreadLoad();
    this.#thread = this.#start();
    this.#flush();
  }

  #break(cause: ThreadBreak, reason: string): void {
    this.#broken = { cause, reason };
    this.#owner?.onBroken(cause, reason);
  }
}

function startComputeThread(threads: number, listener: ThreadListener): ThreadHandle {
  setBackendEnvironment(threads);
  return new ComputeThread(listener);
}
