import { describe, expect, it } from 'vitest';
import { clipGradient, firstNonFinite, gradientNorm } from '../../coordinator/reduce/clip.js';
import { Random } from '../../shared/random.js';
import { manifestWith, normals, referenceClip, relativeError } from './optimizer-reference.js';

const pair = manifestWith([
  { name: 'a', size: 2 },
  { name: 'frozen', size: 2, trainable: false },
  { name: 'b', size: 2 },
]);

describe('clipGradient', () => {
  it('clips by value, element by element', () => {
    const gradient = Float32Array.of(-3, 0.5, 2, -1);
    clipGradient(pair, gradient, { clipValue: 1 });
    expect([...gradient]).toEqual([-1, 0.5, 1, -1]);
  });

  it('clips by norm, each variable on its own', () => {
    // |(3, 4)| = 5 becomes 2.5; |(0.6, 0.8)| = 1 stays.
    const gradient = Float32Array.of(3, 4, 0.6, 0.8);
    clipGradient(pair, gradient, { clipNorm: 2.5 });
    expect([...gradient]).toEqual([1.5, 2, Math.fround(0.6), Math.fround(0.8)]);
  });

  it('clips by global norm, all variables by one factor', () => {
    // |(2, 4, 5, 6)| = 9 becomes 3.
    const gradient = Float32Array.of(2, 4, 5, 6);
    clipGradient(pair, gradient, { globalClipNorm: 3 });
    expect([...gradient]).toEqual([2 / 3, 4 / 3, 5 / 3, 2].map(Math.fround));
  });

  it.each([{ clipValue: 1e-3 }, { clipNorm: 1e-3 }, { globalClipNorm: 1e-3 }])(
    'leaves zeros, their signs and gradients within the limit alone: %o',
    (clipping) => {
      const small = Float32Array.of(0, -0, 1e-45, -5e-4);
      const gradient = small.slice();
      clipGradient(pair, gradient, clipping);
      gradient.forEach((value, i) => {
        expect(Object.is(value, small[i])).toBe(true);
      });
      const zeros = new Float32Array(4);
      clipGradient(pair, zeros, clipping);
      expect([...zeros]).toEqual([0, 0, 0, 0]);
    },
  );

  it('knows the norm of numbers whose squares float32 cannot hold', () => {
    const large = Float32Array.of(3e30, 4e30, 0, 0);
    clipGradient(pair, large, { clipNorm: 5 });
    expect(relativeError(large, [3, 4, 0, 0])).toBeLessThan(1e-7);
    const tiny = Float32Array.of(3e-30, 4e-30, 0, 0);
    clipGradient(pair, tiny, { globalClipNorm: 5e-31 });
    expect(relativeError(tiny, [3e-31, 4e-31, 0, 0])).toBeLessThan(1e-6);
  });

  it('makes a gradient of infinite norm NaN, as TensorFlow does, rather than zero', () => {
    const gradient = Float32Array.of(1, Number.POSITIVE_INFINITY, 1, 1);
    clipGradient(pair, gradient, { globalClipNorm: 1 });
    expect(gradient.every(Number.isNaN)).toBe(true);
  });

  it('does nothing without a limit', () => {
    const gradient = Float32Array.of(1e9, -1e9, 1, 2);
    clipGradient(pair, gradient, {});
    expect([...gradient]).toEqual([1e9, -1e9, 1, 2]);
  });

  it.each([{ clipNorm: 3 }, { globalClipNorm: 3 }])(
    'agrees with float64 over many blocks: %o',
    (clipping) => {
      const sizes = [1, 4095, 4096, 4097, 16384, 40_000, 3];
      const manifest = manifestWith(sizes.map((size, i) => ({ name: `w${i}`, size })));
      const gradient = normals(new Random(1), manifest.trainableSize);
      const cut = () =>
        manifest.weights.map(({ offset, size }) => [...gradient.subarray(offset, offset + size)]);
      const expected = referenceClip(cut(), clipping);
      clipGradient(manifest, gradient, clipping);
      cut().forEach((values, i) => {
        expect(relativeError(values, expected[i])).toBeLessThan(1e-7);
      });
    },
  );
});

describe('gradientNorm', () => {
  it('adds squares in blocks of 4,096 per variable, and blocks and variables along the tree', () => {
    const sizes = [20_000, 5, 4096 * 5 + 1];
    const manifest = manifestWith(sizes.map((size, i) => ({ name: `w${i}`, size })));
    const gradient = normals(new Random(2), manifest.trainableSize);
    // The definition written out: 20,000 elements are 5 blocks, 20,481 are 6.
    const block = (offset: number, index: number, size: number): number => {
      let sum = 0;
      const end = Math.min((index + 1) * 4096, size);
      for (let i = index * 4096; i < end; i++) sum += gradient[offset + i] ** 2;
      return sum;
    };
    const [a0, a1, a2, a3, a4] = [0, 1, 2, 3, 4].map((index) => block(0, index, sizes[0]));
    const b = block(sizes[0], 0, sizes[1]);
    const [c0, c1, c2, c3, c4, c5] = [0, 1, 2, 3, 4, 5].map((index) =>
      block(sizes[0] + sizes[1], index, sizes[2]),
    );
    const a = a0 + a1 + (a2 + a3) + a4;
    const c = c0 + c1 + (c2 + c3) + (c4 + c5);
    expect(gradientNorm(manifest, gradient)).toBe(Math.sqrt(a + b + c));
  });

  it('is 0 where nothing trains', () => {
    const frozen = manifestWith([{ name: 'frozen', size: 3, trainable: false }]);
    expect(gradientNorm(frozen, new Float32Array(0))).toBe(0);
  });
});

describe('firstNonFinite', () => {
  const manifest = manifestWith([
    { name: 'kernel', size: 30_000 },
    { name: 'moving_mean', size: 4, trainable: false },
    { name: 'bias', size: 10 },
  ]);

  it('is null for finite gradients, the largest included', () => {
    const gradient = new Float32Array(manifest.trainableSize).fill(3.4028234663852886e38);
    expect(firstNonFinite(manifest, gradient)).toBeNull();
  });

  it.each([
    [0, 'kernel', 0],
    [20_000, 'kernel', 20_000],
    [29_999, 'kernel', 29_999],
    [30_003, 'bias', 3],
  ])('names the weight and the index of element %i', (position, weight, index) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const gradient = normals(new Random(3), manifest.trainableSize);
      gradient[position] = value;
      gradient[manifest.trainableSize - 1] = Number.NaN;
      expect(firstNonFinite(manifest, gradient)).toEqual({ weight, index });
    }
  });
});
