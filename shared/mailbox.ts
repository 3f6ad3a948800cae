import { InvariantError } from './errors.js';

/**
 * A bounded first-in-first-out mailbox: one message is handled at a time, to completion; what a handler posts
 * waits its turn. A full mailbox is a bug with a name, never silent growth.
 */
export class Mailbox<Message> {
  readonly #name: string;
  readonly #capacity: number;
  readonly #handle: (message: Message) => void;
  readonly #queue: Message[] = [];
  #handling = false;

  constructor({
    name,
    capacity,
    handle,
  }: { name: string; capacity: number; handle: (message: Message) => void }) {
    this.#name = name;
    this.#capacity = capacity;
    this.#handle = handle;
  }

  /** @throws InvariantError if the mailbox is full */
  post(message: Message): void {
    if (this.#queue.length >= this.#capacity) {
      throw new InvariantError(`mailbox of ${this.#name} is full (${this.#capacity} messages)`);
    }
    this.#queue.push(message);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#handle(next);
    } finally {
      this.#handling = false;
    }
  }
}
