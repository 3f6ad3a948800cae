/**
 * Keeps what arrives before anyone listens, then passes everything on in order. What waits is bounded: `put`
 * says when there is no room.
 */
export class Inbox<Item> {
  readonly #capacity: number;
  #waiting: Item[] = [];
  #receive: ((item: Item) => void) | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** False if nobody listens and the inbox is full. */
  put(item: Item): boolean {
    if (this.#receive !== null && this.#waiting.length === 0) {
      this.#receive(item);
      return true;
    }
    if (this.#waiting.length >= this.#capacity) return false;
    this.#waiting.push(item);
    return true;
  }

  /** Replaces the receiver. It may replace itself while it handles an item. */
  listen(receive: (item: Item) => void): void {
    this.#receive = receive;
    for (;;) {
      const item = this.#waiting[0];
      if (item === undefined) return;
      this.#waiting.shift();
      this.#receive(item);
    }
  }

  clear(): void {
    this.#waiting = [];
  }
}
