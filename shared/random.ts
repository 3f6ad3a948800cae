/**
 * Everything random in a run derives from (run seed, purpose, indices), so that no two uses share a stream
 * and none depends on which process asks, or when.
 */

/** What a stream of random numbers is for. */
export type Purpose =
  | 'weights'
  | 'shuffle'
  | 'shard'
  | 'layer'
  | 'canary'
  | 'user'
  | 'audit'
  | 'digits'
  | 'split'
  | 'faults'
  | 'test';

/** Finaliser of MurmurHash3 (Appleby): every input bit reaches every output bit. */
function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A 32-bit seed for one stream. `seed` and `indices` are integers below 2^53 in magnitude. */
export function deriveSeed(seed: number, purpose: Purpose, ...indices: readonly number[]): number {
  let h = 0x9e3779b9;
  const absorb = (word: number) => {
    h = mix32(Math.imul(h, 31) ^ mix32(word + 0x7f4a7c15));
  };
  for (const value of [seed, ...indices]) {
    absorb(value | 0);
    absorb(Math.floor(value / 2 ** 32) | 0);
  }
  for (let i = 0; i < purpose.length; i++) absorb(purpose.charCodeAt(i));
  return h;
}

/** A seeded generator: xoshiro128** (Blackman & Vigna, 2018), its state filled from a 32-bit seed. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;
  #spare: number | null = null;

  constructor(seed: number) {
    this.#a = mix32(seed + 0x9e3779b9);
    this.#b = mix32(this.#a + 0x9e3779b9);
    this.#c = mix32(this.#b + 0x9e3779b9);
    this.#d = mix32(this.#c + 0x9e3779b9) | 1;
  }

  /** Uniform integer in [0, 2^32). */
  uint32(): number {
    const scaled = Math.imul(this.#b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Fills `target` with uniform integers in [0, 2^32): those of as many calls of `uint32`, in a fifth of the time. */
  fill(target: Uint32Array): void {
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let d = this.#d;
    for (let i = 0; i < target.length; i++) {
      const scaled = Math.imul(b, 5);
      target[i] = Math.imul((scaled << 7) | (scaled >>> 25), 9);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = (d << 11) | (d >>> 21);
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
  }

  /** Uniform float64 in [0, 1) with 53 random bits: a drop-in for `Math.random`. */
  readonly next = (): number => {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  };

  /** Uniform integer in [0, bound), without modulo bias. */
  below(bound: number): number {
    const limit = 4294967296 - (4294967296 % bound);
    let value = this.uint32();
    while (value >= limit) value = this.uint32();
    return value % bound;
  }

  /** Standard normal, by the polar method (Marsaglia, 1964). */
  normal(): number {
    if (this.#spare !== null) {
      const value = this.#spare;
      this.#spare = null;
      return value;
    }
    for (;;) {
      const u = 2 * this.next() - 1;
      const v = 2 * this.next() - 1;
      const s = u * u + v * v;
      if (s >= 1 || s === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(s)) / s);
      this.#spare = v * factor;
      return u * factor;
    }
  }

  /** A random permutation of 0…length-1 (Fisher–Yates). */
  permutation(length: number): Int32Array {
    const order = new Int32Array(length);
    for (let i = 0; i < length; i++) order[i] = i;
    for (let i = length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    return order;
  }
}

/**
 * Runs the synchronous `compute` with `Math.random` replaced by a generator seeded with `seed`: TensorFlow.js
 * draws dropout masks, noise and initial weights from it inside its ops. Nothing else may run meanwhile, so a
 * `compute` that returns a promise is refused.
 * @throws TypeError if `compute` returns a promise
 */
export function withSeededMathRandom<T>(seed: number, compute: () => T): T {
  const original = Math.random;
  Math.random = new Random(seed).next;
  try {
    const result = compute();
    if (result instanceof Promise) {
      throw new TypeError('a seeded computation must be synchronous; it returned a promise');
    }
    return result;
  } finally {
    Math.random = original;
  }
}
