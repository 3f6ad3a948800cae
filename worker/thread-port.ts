import type { FromThread, ToThread } from './thread-messages.js';

/** Hears what a compute thread says. */
export interface ThreadOwner {
  readonly onAnswer: (answer: FromThread) => void;
  /** The thread ended by itself: `memory` when its heap was too small. */
  readonly onBroken: (cause: 'memory' | 'crash', reason: string) => void;
}

/** The thread that computes, as a worker's actor sees it. It handles what it is sent one by one, in order. */
export interface ThreadPort {
  /** From now on `owner` alone hears the thread, and only what answers its own messages. */
  attach(owner: ThreadOwner): void;
  /** @param transfer buffers handed over to the thread; they cannot be used here any more */
  post(message: ToThread, transfer?: readonly ArrayBuffer[]): void;
}
