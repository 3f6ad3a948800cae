import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deriveSeed, type Purpose, Random, withSeededMathRandom } from '../../shared/random.js';

const mask = 0xffffffffn;

/** MurmurHash3's finaliser (Appleby), in exact integers. */
function fmix32(value: bigint): bigint {
  let h = value & mask;
  h = ((h ^ (h >> 16n)) * 0x85ebca6bn) & mask;
  h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) & mask;
  return h ^ (h >> 16n);
}

/** xoshiro128** 1.1 (Blackman & Vigna, public domain), in exact integers. */
function* xoshiro128starstar(s: bigint[]): Generator<number> {
  const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & mask;
  for (;;) {
    yield Number((rotl((s[1] * 5n) & mask, 7n) * 9n) & mask);
    const t = (s[1] << 9n) & mask;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 11n);
  }
}

/** The state that a seed stands for. */
function stateOf(seed: number): bigint[] {
  const state: bigint[] = [];
  let word = BigInt(seed);
  for (let i = 0; i < 4; i++) {
    word = fmix32(word + 0x9e3779b9n);
    state.push(word);
  }
  state[3] |= 1n;
  return state;
}

function take(state: bigint[], count: number): number[] {
  const reference = xoshiro128starstar(state);
  return Array.from({ length: count }, () => reference.next().value as number);
}

describe('the generator', () => {
  it('is xoshiro128**: the published algorithm gives the same numbers', () => {
    // The authors' code from the state 1, 2, 3, 4, as the Rust crate rand_xoshiro tests it.
    const published = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849];
    expect(take([1n, 2n, 3n, 4n], 8)).toEqual(published);
    for (const seed of [0, 1, 42, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const random = new Random(seed);
      expect(Array.from({ length: 1_000 }, () => random.uint32())).toEqual(take(stateOf(seed), 1_000));
    }
  });

  it('makes float64 numbers of 53 bits below 1, high bits first', () => {
    const [a, b] = take(stateOf(9), 2);
    // As Java's Random.nextDouble: 27 bits and 26 bits.
    expect(new Random(9).next()).toBe(((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53);
    const random = new Random(5);
    for (let i = 0; i < 10_000; i++) {
      const value = random.next();
      expect(value >= 0 && value < 1).toBe(true);
    }
  });

  it('is uniform: the 100 bins of 100,000 numbers pass a chi-squared test', () => {
    for (const seed of [1, 2, 3]) {
      const random = new Random(seed);
      const bins = new Float64Array(100);
      for (let i = 0; i < 100_000; i++) bins[Math.floor(random.next() * 100)] += 1;
      const chiSquared = bins.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
      // 99 degrees of freedom: mean 99, standard deviation 14; within 5 of them on either side.
      expect(chiSquared).toBeGreaterThan(99 - 70);
      expect(chiSquared).toBeLessThan(99 + 70);
    }
  });

  it('draws integers below a bound without favouring any', () => {
    const random = new Random(8);
    const counts = new Float64Array(7);
    for (let i = 0; i < 70_000; i++) counts[random.below(7)] += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(10_000));
    // 3 · 2^30 does not divide 2^32: a plain remainder would give the lowest quarter half of all numbers.
    let low = 0;
    for (let i = 0; i < 10_000; i++) if (random.below(3 * 2 ** 30) < 2 ** 30) low += 1;
    expect(Math.abs(low - 10_000 / 3)).toBeLessThan(5 * Math.sqrt((10_000 * 2) / 9));
    expect(random.below(1)).toBe(0);
  });

  it('draws normal numbers with mean 0, variance 1 and the tails of the bell curve', () => {
    const random = new Random(4);
    const count = 100_000;
    let sum = 0;
    let squares = 0;
    let beyondTwo = 0;
    for (let i = 0; i < count; i++) {
      const value = random.normal();
      sum += value;
      squares += value * value;
      if (Math.abs(value) > 2) beyondTwo += 1;
    }
    expect(Math.abs(sum / count)).toBeLessThan(5 / Math.sqrt(count));
    expect(Math.abs(squares / count - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
    // P(|z| > 2) = 0.0455.
    expect(Math.abs(beyondTwo / count - 0.0455)).toBeLessThan(0.004);
  });

  it('shuffles: every row is there once, and every row comes everywhere equally often', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 300 }), (seed, length) => {
        const sorted = new Random(seed).permutation(length).sort();
        expect(Array.from(sorted)).toEqual(Array.from({ length }, (_, i) => i));
      }),
    );
    const places = Array.from({ length: 4 }, () => new Float64Array(4));
    for (let seed = 0; seed < 4_000; seed++) {
      new Random(seed).permutation(4).forEach((row, place) => {
        places[row][place] += 1;
      });
    }
    for (const row of places) for (const count of row) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});

describe('a derived seed', () => {
  const purposes: Purpose[] = ['weights', 'shuffle', 'shard', 'layer', 'user', 'digits', 'split', 'test'];

  it('is another for every seed, purpose and index, and the same each time', () => {
    const seen = new Map<number, string>();
    let collisions = 0;
    for (const seed of [0, 1, 2, -1, 2 ** 32, 2 ** 40 + 1]) {
      for (const purpose of purposes) {
        for (let step = 0; step < 25; step++) {
          for (let shard = 0; shard < 8; shard++) {
            const derived = deriveSeed(seed, purpose, step, shard);
            expect(deriveSeed(seed, purpose, step, shard)).toBe(derived);
            if (seen.has(derived)) collisions += 1;
            seen.set(derived, `${seed} ${purpose} ${step} ${shard}`);
          }
        }
      }
    }
    // 9,600 of 2^32: 0.01 collisions are to be expected.
    expect(collisions).toBe(0);
  });

  it('tells the order and the number of its indices apart', () => {
    const seeds = [
      deriveSeed(1, 'shard', 2, 3),
      deriveSeed(1, 'shard', 3, 2),
      deriveSeed(2, 'shard', 1, 3),
      deriveSeed(1, 'shard', 2),
      deriveSeed(1, 'shard', 2, 0),
      deriveSeed(1, 'shard', 2, 3, 0),
    ];
    expect(new Set(seeds).size).toBe(seeds.length);
  });

  it('is a 32-bit integer whose bits are evenly set', () => {
    const set = new Float64Array(32);
    for (let step = 0; step < 4_000; step++) {
      const seed = deriveSeed(7, 'shard', step);
      expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true);
      for (let bit = 0; bit < 32; bit++) set[bit] += (seed >>> bit) & 1;
    }
    for (const count of set) expect(Math.abs(count - 2_000)).toBeLessThan(5 * Math.sqrt(1_000));
  });
});

describe('a seeded Math.random', () => {
  it('is the generator during the computation, and the old one afterwards', () => {
    const original = Math.random;
    const drawn = withSeededMathRandom(11, () => [Math.random(), Math.random()]);
    const random = new Random(11);
    expect(drawn).toEqual([random.next(), random.next()]);
    expect(Math.random).toBe(original);
  });

  it('is put back when the computation throws or returns a promise, which is refused', () => {
    const original = Math.random;
    expect(() =>
      withSeededMathRandom(1, () => {
        throw new RangeError('broken');
      }),
    ).toThrow('broken');
    expect(Math.random).toBe(original);
    expect(() => withSeededMathRandom(1, async () => 1)).toThrow(TypeError);
    expect(Math.random).toBe(original);
  });
});
