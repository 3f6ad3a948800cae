import { Random } from '../../shared/random.js';
import type { ToThread } from '../../worker/thread-messages.js';

type Handle = (message: ToThread) => Promise<void>;

interface Inbox {
  readonly handle: Handle;
  readonly messages: ToThread[];
}

/**
 * One thread for the shard computers of many workers. TensorFlow.js's backend and `Math.random` are global, so one
 * message is handled at a time; whose is next, the seed decides. Each inbox keeps its order.
 */
export class SharedThread {
  readonly #random: Random;
  readonly #inboxes: Inbox[] = [];
  #isWorking = false;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  inbox(handle: Handle): { post(message: ToThread): void; clear(): void } {
    const inbox: Inbox = { handle, messages: [] };
    this.#inboxes.push(inbox);
    return {
      post: (message) => {
        inbox.messages.push(message);
        if (!this.#isWorking) void this.#work();
      },
      clear: () => {
        inbox.messages.length = 0;
      },
    };
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    for (let waiting = this.#waiting(); waiting.length > 0; waiting = this.#waiting()) {
      const inbox = waiting[this.#random.below(waiting.length)];
      const message = inbox.messages.shift();
      if (message !== undefined) await inbox.handle(message);
    }
    this.#isWorking = false;
  }

  #waiting(): Inbox[] {
    return this.#inboxes.filter(({ messages }) => messages.length > 0);
  }
}
