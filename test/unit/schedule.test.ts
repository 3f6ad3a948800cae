import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../coordinator/optimizer/optimizer.js';
import { cosPi, power } from '../../coordinator/optimizer/portable-math.js';
import {
  constant,
  cosineDecay,
  cosineDecayRestarts,
  exponentialDecay,
  inverseTimeDecay,
  learningRateAt,
  oneCycle,
  piecewiseConstantDecay,
  polynomialDecay,
  schedule,
} from '../../coordinator/optimizer/schedules.js';

/** Compares the schedule with values worked out by hand from the formulas in Keras's documentation. */
function expectRates(made: Schedule, expected: Readonly<Record<number, number>>): void {
  for (const [step, rate] of Object.entries(expected)) {
    const actual = made.at({ step: Number(step), epoch: 0 });
    expect(Math.abs(actual - rate), `step ${step}: ${actual}, expected ${rate}`).toBeLessThan(1e-12);
  }
}

const halfRoot = Math.SQRT1_2;

describe('schedules', () => {
  it('constant', () => expectRates(constant(0.1), { 0: 0.1, 1e6: 0.1 }));

  it('piecewise constant: a boundary still belongs to the piece before it', () => {
    const made = piecewiseConstantDecay({ boundaries: [100, 110, 120], values: [1, 0.1, 0.01, 0.001] });
    expectRates(made, { 0: 1, 100: 1, 101: 0.1, 110: 0.1, 111: 0.01, 120: 0.01, 121: 0.001, 999: 0.001 });
  });

  it('exponential decay', () => {
    const options = { initialLearningRate: 0.4, decaySteps: 10, decayRate: 0.25 };
    expectRates(exponentialDecay(options), { 0: 0.4, 5: 0.2, 10: 0.1, 15: 0.05, 20: 0.025 });
    expectRates(exponentialDecay({ ...options, staircase: true }), {
      0: 0.4,
      9: 0.4,
      10: 0.1,
      19: 0.1,
      20: 0.025,
    });
  });

  it('inverse time decay', () => {
    const options = { initialLearningRate: 0.6, decaySteps: 4, decayRate: 2 };
    expectRates(inverseTimeDecay(options), { 0: 0.6, 1: 0.4, 2: 0.3, 4: 0.2, 10: 0.1 });
    expectRates(inverseTimeDecay({ ...options, staircase: true }), { 3: 0.6, 4: 0.2, 7: 0.2, 8: 0.12 });
  });

  it('polynomial decay', () => {
    const options = { initialLearningRate: 0.05, decaySteps: 10, endLearningRate: 0.01 };
    expectRates(polynomialDecay(options), { 0: 0.05, 5: 0.03, 10: 0.01, 15: 0.01 });
    expectRates(polynomialDecay({ ...options, power: 0.5 }), { 5: 0.04 * halfRoot + 0.01, 10: 0.01 });
    expectRates(polynomialDecay({ ...options, power: 2 }), { 5: 0.02, 9: 0.0104 });
    expectRates(polynomialDecay({ ...options, cycle: true }), { 0: 0.05, 10: 0.01, 15: 0.02, 20: 0.01 });
    expectRates(polynomialDecay({ initialLearningRate: 1, decaySteps: 2 }), { 9: 0.0001 });
  });

  it('cosine decay', () => {
    const options = { initialLearningRate: 0.2, decaySteps: 100 };
    expectRates(cosineDecay(options), {
      0: 0.2,
      25: 0.1 * (1 + halfRoot),
      50: 0.1,
      75: 0.1 * (1 - halfRoot),
      100: 0,
      500: 0,
    });
    expectRates(cosineDecay({ ...options, alpha: 0.5 }), { 0: 0.2, 50: 0.15, 100: 0.1, 101: 0.1 });
  });

  it('cosine decay after a warm-up', () => {
    const made = cosineDecay({
      initialLearningRate: 0.1,
      decaySteps: 100,
      alpha: 0.1,
      warmupTarget: 0.5,
      warmupSteps: 20,
    });
    expectRates(made, { 0: 0.1, 5: 0.2, 10: 0.3, 20: 0.5, 70: 0.275, 120: 0.05, 999: 0.05 });
  });

  it('cosine decay with restarts', () => {
    const made = cosineDecayRestarts({ initialLearningRate: 1, firstDecaySteps: 10, mMul: 0.5 });
    // Restarts at 10, 30 and 70; halfway at 5, 20 and 50.
    expectRates(made, { 0: 1, 5: 0.5, 10: 0.5, 20: 0.25, 30: 0.25, 50: 0.125, 70: 0.125 });
    const even = cosineDecayRestarts({ initialLearningRate: 1, firstDecaySteps: 10, tMul: 1, alpha: 0.2 });
    expectRates(even, { 0: 1, 5: 0.6, 10: 1, 25: 0.6, 1000: 1 });
  });

  it('1cycle goes up and down like PyTorch, with its defaults', () => {
    // The top is at 0.3 · 101 - 1 = 29.3, the end at 100.
    const made = oneCycle({ maxLearningRate: 1, totalSteps: 101 });
    const anneal = (from: number, to: number, part: number) =>
      to + ((from - to) / 2) * (1 + Math.cos(Math.PI * part));
    expectRates(made, {
      0: 0.04,
      10: anneal(0.04, 1, 10 / 29.3),
      29: anneal(0.04, 1, 29 / 29.3),
      30: anneal(1, 4e-6, 0.7 / 70.7),
      65: anneal(1, 4e-6, 35.7 / 70.7),
      100: 4e-6,
      1000: 4e-6,
    });
  });

  it('1cycle in straight lines and three phases', () => {
    const made = oneCycle({
      maxLearningRate: 1,
      totalSteps: 11,
      pctStart: 5 / 11,
      divFactor: 5,
      finalDivFactor: 10,
      annealStrategy: 'linear',
      threePhase: true,
    });
    expectRates(made, { 0: 0.2, 2: 0.6, 4: 1, 6: 0.6, 8: 0.2, 9: 0.11, 10: 0.02 });
  });

  it('1cycle without a way up starts at the top', () => {
    expectRates(oneCycle({ maxLearningRate: 1, totalSteps: 10, pctStart: 0.1 }), { 0: 1, 9: 4e-6 });
  });

  it('any function of step and epoch', () => {
    const made = schedule(({ step, epoch }) => 1 / (1 + step) + epoch, 'mine');
    expect(made.name).toBe('mine');
    expect(learningRateAt(made, { step: 3, epoch: 2 })).toBe(2.25);
    expect(learningRateAt(0.5, { step: 3, epoch: 2 })).toBe(0.5);
  });
});

describe('schedules refuse', () => {
  const refusal = (message: RegExp) =>
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) });

  it('options that Keras would refuse, or that would be ignored', () => {
    const decay = { initialLearningRate: 0.1, decaySteps: 10, decayRate: 0.5 };
    expect(() => exponentialDecay({ ...decay, decaySteps: 0 })).toThrow(refusal(/decaySteps/));
    const misspelt = { ...decay, stairCase: true };
    expect(() => inverseTimeDecay(misspelt)).toThrow(refusal(/stairCase/));
    expect(() => piecewiseConstantDecay({ boundaries: [1], values: [1] })).toThrow(refusal(/one value more/));
    expect(() => piecewiseConstantDecay({ boundaries: [2, 1], values: [1, 1, 1] })).toThrow(
      refusal(/increasing/),
    );
    const cosine = { initialLearningRate: 0.1, decaySteps: 10 };
    expect(() => cosineDecay({ ...cosine, warmupSteps: 5 })).toThrow(refusal(/warmupTarget/));
    expect(() => constant(-1)).toThrow(refusal(/constant/));
    expect(() => oneCycle({ maxLearningRate: 1, totalSteps: 1.5 })).toThrow(refusal(/totalSteps/));
  });

  it('a rate that is not a finite number ≥ 0', () => {
    for (const rate of [Number.NaN, Number.POSITIVE_INFINITY, -0.1]) {
      const broken = schedule(() => rate, 'broken');
      expect(() => learningRateAt(broken, { step: 7, epoch: 1 })).toThrow(refusal(/broken.*step 7, epoch 1/));
    }
  });
});

describe('portable arithmetic', () => {
  /** Spread evenly over [0, max]; `fc.double` would draw mostly tiny numbers. */
  const uniform = (max: number) => fc.integer({ min: 0, max: 2 ** 30 }).map((n) => (n / 2 ** 30) * max);

  it('power agrees with the engine', () => {
    const base = uniform(4);
    const exponent = uniform(60);
    fc.assert(
      fc.property(base, exponent, (x, y) => {
        const expected = x ** y;
        expect(Math.abs(power(x, y) - expected)).toBeLessThanOrEqual(1e-13 * expected + 1e-300);
      }),
      { seed: 1 },
    );
    expect([power(0, 0), power(0, 2), power(2, 10), power(9, 0.5), power(0.5, 1074)]).toEqual([
      1,
      0,
      1024,
      3,
      2 ** -1074,
    ]);
    expect(Math.abs(power(0.999, 100_000) / 0.999 ** 100_000 - 1)).toBeLessThan(1e-10);
  });

  it('cosPi agrees with the engine', () => {
    fc.assert(
      fc.property(uniform(1), (x) => {
        expect(Math.abs(cosPi(x) - Math.cos(Math.PI * x))).toBeLessThan(4e-16);
      }),
      { seed: 2 },
    );
    expect([cosPi(0), cosPi(1)]).toEqual([1, -1]);
  });
});
