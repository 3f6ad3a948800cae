import type { FromThread, ToThread } from './thread-messages.js';

/** Why a compute thread is of no more use: its heap was too small, it ended, or it does not end what it computes. */
export type ThreadBreak = 'memory' | 'crash' | 'stuck';

/** Hears what a compute thread says. */
export interface ThreadListener {
  readonly onAnswer: (answer: FromThread) => void;
  readonly onBroken: (cause: ThreadBreak, reason: string) => void;
}

/** Who posts to a compute thread. */
export interface ThreadOwner extends ThreadListener {
  /** What was posted has no room: the thread holds too much that it has not come to. It was dropped. */
  readonly onOverload: (reason: string) => void;
}

/** The thread that computes, as a worker's actor sees it. It handles what it is sent one by one, in order. */
export interface ThreadPort {
  /** From now on `owner` hears the thread, but nothing that answers what was posted before. */
  attach(owner: ThreadOwner): void;
  /** Nobody hears the thread any more: what was posted is not wanted, and forgotten with all data. */
  detach(): void;
  /** @param transfer buffers handed over to the thread; they cannot be used here any more */
  post(message: ToThread, transfer?: readonly ArrayBuffer[]): void;
}
