import { setBackendEnvironment } from './backend/environment.js';
import { ComputeThread } from './thread.js';
import type { ToThread } from './thread-messages.js';
import type { ThreadOwner, ThreadPort } from './thread-port.js';

/** The process's one compute thread. It starts with the first setup, which says with how many threads it computes. */
export class ComputeHost implements ThreadPort {
  #thread: ComputeThread | null = null;
  #owner: ThreadOwner | null = null;

  attach(owner: ThreadOwner): void {
    this.#owner = owner;
  }

  post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    if (message.type === 'setup') this.#thread ??= this.#start(message.setup.threads);
    this.#thread?.post(message, transfer);
  }

  /** Ends the thread at once, also in the middle of a computation. */
  async stop(): Promise<void> {
    await this.#thread?.stop();
  }

  #start(threads: number): ComputeThread {
    setBackendEnvironment(threads);
    return new ComputeThread({
      onMessage: (answer) => this.#owner?.onAnswer(answer),
      onBroken: (cause, reason) => this.#owner?.onBroken(cause, reason),
    });
  }
}
