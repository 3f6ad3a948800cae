import { type Clock, systemClock } from '../shared/clock.js';
import { setBackendEnvironment } from './backend/environment.js';
import { ComputeThread } from './thread.js';
import type { FromThread, ToThread } from './thread-messages.js';
import type { ThreadBreak, ThreadOwner, ThreadPort } from './thread-port.js';

/** How long a thread may go on with a shard that nobody wants any more. */
const abandonAfterMs = 60_000;

/** A running compute thread. */
export interface ThreadHandle {
  post(message: ToThread, transfer: readonly ArrayBuffer[]): void;
  /** Ends it, also in the middle of a computation. Gives false if it does not end. */
  stop(): Promise<boolean>;
}

export type StartThread = (threads: number, owner: ThreadOwner) => ThreadHandle;

interface Parcel {
  readonly message: ToThread;
  readonly transfer: readonly ArrayBuffer[];
}

/**
 * The process's compute thread, handed on from one incarnation of the worker to the next. It starts with the first
 * setup, which says how many threads compute.
 *
 * A thread that is detached drops what it was asked for between two shards. One that does not come to the end of a
 * shard is ended, and another takes its place; not with TensorFlow, which allows a process one compute thread
 * (docs/decisions/0005).
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
  /** Whether TensorFlow is, or may be, loaded. */
  #mayHoldTensorflow = true;

  constructor({ clock = systemClock, startThread = startComputeThread } = {}) {
    this.#clock = clock;
    this.#startThread = startThread;
  }

  attach(owner: ThreadOwner): void {
    this.#owner = owner;
    if (this.#broken !== null) owner.onBroken(this.#broken.cause, this.#broken.reason);
  }

  detach(): void {
    this.#owner = null;
    this.#waiting = [];
    if (this.#thread === null) return;
    this.#unconfirmed += 1;
    this.#thread.post({ type: 'reset' }, []);
    this.#stopWatching ??= this.#clock.after(abandonAfterMs, () => this.#abandon());
  }

  post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    if (message.type === 'setup') {
      this.#threads = message.setup.threads;
      this.#thread ??= this.#start();
    }
    if (this.#unconfirmed > 0) this.#waiting.push({ message, transfer });
    else this.#thread?.post(message, transfer);
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
    if (answer.type === 'ready') this.#mayHoldTensorflow = answer.fingerprint.backend === 'tensorflow';
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
    for (const { message, transfer } of this.#waiting.splice(0)) this.#thread?.post(message, transfer);
  }

  /** The thread still computes what nobody wants. */
  #abandon(): void {
    this.#stopWatching = null;
    const reason = `a shard of a connection that was lost still computes after ${abandonAfterMs / 1_000} s`;
    if (this.#mayHoldTensorflow) {
      return this.#break('stuck', `${reason}, and TensorFlow allows this process no other compute thread`);
    }
    void this.#thread?.stop();
    this.#unconfirmed = 0;
    this.#mayHoldTensorflow = true;
    this.#thread = this.#start();
    this.#flush();
  }

  #break(cause: ThreadBreak, reason: string): void {
    this.#broken = { cause, reason };
    this.#owner?.onBroken(cause, reason);
  }
}

function startComputeThread(threads: number, owner: ThreadOwner): ThreadHandle {
  setBackendEnvironment(threads);
  return new ComputeThread(owner);
}
