import { Worker } from 'node:worker_threads';
import { messageOf } from '../shared/errors.js';
import type { FromThread, ToThread } from './thread-messages.js';
import type { ThreadListener } from './thread-port.js';
import { ThreadSignals } from './thread-signals.js';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const computeThread = new URL(`./compute-thread.${extension}`, import.meta.url);

/**
 * What is new on its heap may take 8 MiB instead of 48: what a step makes is forgotten at its end, tensors lie outside
 * the heap, and memory that was used once stays with the process.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 8 };

/** How long a thread may take to end. */
const terminateMs = 5_000;

/** The compute thread, seen from the worker's I/O thread. */
export class ComputeThread {
  readonly #worker: Worker;
  readonly #signals = new ThreadSignals();
  /** It has broken or was told to end: nobody is told anything any more. */
  #isOver = false;

  /** @param listener told once if the thread ends by itself */
  constructor({ onAnswer, onBroken }: ThreadListener, entry = computeThread) {
    this.#worker = new Worker(entry, { workerData: this.#signals.buffer, resourceLimits });
    this.#worker.on('message', (answer: FromThread) => {
      if (!this.#isOver) onAnswer(answer);
    });
    const breakOnce = (cause: 'memory' | 'crash', reason: string): void => {
      if (!this.#isOver) onBroken(cause, reason);
      this.#isOver = true;
    };
    // It stays to the end: an error that nobody listens for would end the process.
    this.#worker.on('error', (error: NodeJS.ErrnoException) => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      breakOnce(memory ? 'memory' : 'crash', messageOf(error));
    });
    this.#worker.on('exit', (code) => breakOnce('crash', `the compute thread ended with code ${code}`));
  }

  /** Messages that it has handled. */
  get handled(): number {
    return this.#signals.handled;
  }

  /** @param transfer buffers handed over to the thread; they cannot be used here any more */
  post(message: ToThread, transfer: readonly ArrayBuffer[]): void {
    if (message.type === 'reset') this.#signals.announceReset();
    if (message.type === 'cancel') this.#signals.cancel(message.round);
    this.#worker.postMessage(message, transfer);
  }

  /** Ends the thread, also in the middle of a computation. Gives false if it does not end. */
  async stop(): Promise<boolean> {
    this.#isOver = true;
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
