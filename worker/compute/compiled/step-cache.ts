/** Something that holds memory of ONNX Runtime's, as a step does. */
interface Holding {
  readonly step: { dispose(): Promise<void> };
}

/** Compiled steps by what they are for, at most so many: the one that was used longest ago is let go of first. */
export class StepCache<T extends Holding> {
  readonly #capacity: number;
  readonly #kept = new Map<string, T>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The step for `key`, made if there is none. One at a time. */
  async get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(key);
    // A map lists its keys in the order in which they were set.
    this.#kept.delete(key);
    const entry = known ?? (await make());
    this.#kept.set(key, entry);
    if (this.#kept.size > this.#capacity) await this.#dropOldest();
    return entry;
  }

  async dispose(): Promise<void> {
    while (this.#kept.size > 0) await this.#dropOldest();
  }

  async #dropOldest(): Promise<void> {
    const [oldest] = this.#kept;
    if (oldest === undefined) return;
    const [key, { step }] = oldest;
    this.#kept.delete(key);
    await step.dispose();
  }
}
