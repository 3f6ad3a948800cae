import { Worker } from 'node:worker_threads';
import { messageOf } from '../shared/errors.js';
import type { FromThread, ToThread } from './thread-messages.js';
import type { ThreadOwner } from './thread-port.js';
import { ThreadSignals } from './thread-signals.js';

/** How long a thread may take to end. */
const terminateMs = 5_000;

/** The compute thread, seen from the worker's I/O thread. */
export class ComputeThread {
  readonly #worker: Worker;
  readonly #signals = new ThreadSignals();

  /** @param owner told once if the thread ends by itself */
  constructor({ onAnswer, onBroken }: ThreadOwner) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.#worker = new Worker(new URL(`./compute-thread.${extension}`, import.meta.url), {
      workerData: this.#signals.buffer,
    });
    this.#worker.on('message', (answer: FromThread) => onAnswer(answer));
    let broken = false;
    const breakOnce = (cause: 'memory' | 'crash', reason: string): void => {
      if (!broken) onBroken(cause, reason);
      broken = true;
    };
    this.#worker.on('error', (error: NodeJS.ErrnoException) => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      breakOnce(memory ? 'memory' : 'crash', messageOf(error));
    });
    this.#worker.on('exit', (code) => breakOnce('crash', `the compute thread ended with code ${code}`));
  }

  /** @param transfer buffers handed over to the thread; they cannot be used here any more */
  post(message: ToThread, transfer: readonly ArrayBuffer[]): void {
    if (message.type === 'reset') this.#signals.announceReset();
    if (message.type === 'cancel') this.#signals.cancel(message.round);
    this.#worker.postMessage(message, transfer);
  }

  /** Ends the thread, also in the middle of a computation. Gives false if it does not end. */
  async stop(): Promise<boolean> {
    this.#worker.removeAllListeners();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), terminateMs);
    });
    const ended = this.#worker.terminate().then(() => true);
    const isOver = await Promise.race([ended, patience]);
    clearTimeout(timer);
    return isOver;
  }
}
