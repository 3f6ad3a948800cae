import { Worker } from 'node:worker_threads';
import { messageOf } from '../shared/errors.js';
import type { FromThread, ToThread } from './thread-messages.js';

/** The compute thread, seen from the worker's I/O thread. */
export class ComputeThread {
  readonly #worker: Worker;

  /** @param onBroken called once if the thread ends by itself: `memory` when its heap was too small */
  constructor(options: {
    onMessage: (message: FromThread) => void;
    onBroken: (cause: 'memory' | 'crash', reason: string) => void;
  }) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.#worker = new Worker(new URL(`./compute-thread.${extension}`, import.meta.url));
    this.#worker.on('message', options.onMessage);
    let broken = false;
    const breakOnce = (cause: 'memory' | 'crash', reason: string): void => {
      if (!broken) options.onBroken(cause, reason);
      broken = true;
    };
    this.#worker.on('error', (error: NodeJS.ErrnoException) => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      breakOnce(memory ? 'memory' : 'crash', messageOf(error));
    });
    this.#worker.on('exit', (code) => breakOnce('crash', `the compute thread ended with code ${code}`));
  }

  /** @param transfer buffers handed over to the thread; they cannot be used here any more */
  post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Ends the thread at once, also in the middle of a computation. */
  async stop(): Promise<void> {
    this.#worker.removeAllListeners('exit');
    this.#worker.removeAllListeners('error');
    await this.#worker.terminate();
  }
}
