import { describe, expect, it } from 'vitest';
import {
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  nadam,
  rmsprop,
  sgd,
} from '../../coordinator/optimizer/configs.js';
import { createOptimizer } from '../../coordinator/optimizer/flat-optimizer.js';
import type { Clipping, OptimizerConfig, Slots } from '../../coordinator/optimizer/optimizer.js';
import { deriveSeed, Random } from '../../shared/random.js';
import {
  manifestWith,
  normals,
  type ReferenceVariable,
  referenceSlots,
  referenceStep,
  relativeError,
} from './optimizer-reference.js';

const optimizers: Record<string, (shared: Clipping) => OptimizerConfig> = {
  sgd: (shared) => sgd({ learningRate: 0.05, ...shared }),
  'sgd with momentum': (shared) => sgd({ learningRate: 0.05, momentum: 0.9, ...shared }),
  'sgd with Nesterov momentum': (shared) =>
    sgd({ learningRate: 0.05, momentum: 0.9, nesterov: true, ...shared }),
  'sgd with weight decay': (shared) =>
    sgd({ learningRate: 0.05, momentum: 0.5, weightDecay: 0.1, ...shared }),
  adagrad: (shared) => adagrad({ learningRate: 0.05, ...shared }),
  adadelta: (shared) => adadelta({ learningRate: 0.5, ...shared }),
  rmsprop: (shared) => rmsprop({ learningRate: 0.01, ...shared }),
  'rmsprop with momentum': (shared) => rmsprop({ learningRate: 0.01, momentum: 0.7, ...shared }),
  'centered rmsprop': (shared) => rmsprop({ learningRate: 0.01, centered: true, ...shared }),
  'centered rmsprop with momentum': (shared) => rmsprop({ centered: true, momentum: 0.7, ...shared }),
  adam: (shared) => adam({ learningRate: 0.01, ...shared }),
  'adam with a large epsilon': (shared) => adam({ learningRate: 0.01, epsilon: 0.1, ...shared }),
  'adam with amsgrad': (shared) => adam({ learningRate: 0.01, amsgrad: true, ...shared }),
  adamw: (shared) => adamw({ learningRate: 0.01, weightDecay: 0.2, ...shared }),
  adamax: (shared) => adamax({ learningRate: 0.01, ...shared }),
  nadam: (shared) => nadam({ learningRate: 0.01, ...shared }),
};

const clippings: Record<string, Clipping> = {
  'no clipping': {},
  clipValue: { clipValue: 0.4 },
  clipNorm: { clipNorm: 1.5 },
  globalClipNorm: { globalClipNorm: 2 },
};

const manifest = manifestWith([
  { name: 'kernel', size: 60 },
  { name: 'moving_mean', size: 5, trainable: false },
  { name: 'bias', size: 7 },
  { name: 'scalar', size: 1 },
]);
const trainable = manifest.weights.filter((weight) => weight.trainable);
const cut = (flat: Float32Array): number[][] =>
  trainable.map(({ offset, size }) => [...flat.subarray(offset, offset + size)]);

/** Random slots that training could have left: squares are not negative, and not below the squared mean. */
function randomSlots(config: OptimizerConfig, size: number, random: Random): Slots {
  const names = Object.keys(referenceSlots(config, size));
  const signed = new Set(['momentum', 'averageGradient']);
  return Object.fromEntries(
    names.map((name) => [
      name,
      Float32Array.from({ length: size }, () =>
        signed.has(name) ? random.normal() * 0.1 : 0.3 + random.next(),
      ),
    ]),
  );
}

describe.each(Object.entries(optimizers))('%s', (name, configure) => {
  it.each(Object.entries(clippings))(
    'takes one step as Keras from a random state, with %s',
    (_, clipping) => {
      const config = configure(clipping);
      const random = new Random(deriveSeed(1, 'test', name.length));
      const weights = normals(random, manifest.totalSize);
      const gradient = normals(random, manifest.trainableSize);
      const slots = new Map(
        trainable.map((weight) => [weight.name, randomSlots(config, weight.size, random)]),
      );
      const iteration = 6;
      const learningRate = Number(config.learningRate);

      const expected = cut(weights).map((weight, n): ReferenceVariable => {
        const own = slots.get(trainable[n].name) ?? {};
        return {
          weight,
          slots: Object.fromEntries(Object.entries(own).map(([slot, values]) => [slot, [...values]])),
        };
      });
      referenceStep(config, expected, cut(gradient), learningRate, iteration);

      const optimizer = createOptimizer(config);
      optimizer.loadSlots(slots);
      const next = new Float32Array(manifest.totalSize);
      optimizer.apply({ manifest, weights, gradient, next, learningRate, iteration });

      trainable.forEach((weight, n) => {
        expect(relativeError(cut(next)[n], expected[n].weight), weight.name).toBeLessThan(1e-6);
        for (const [slot, values] of Object.entries(optimizer.slots().get(weight.name) ?? {})) {
          expect(relativeError(values, expected[n].slots[slot]), `${weight.name} ${slot}`).toBeLessThan(1e-6);
        }
      });
      expect(next.subarray(manifest.trainableSize), 'weights that do not train').toEqual(new Float32Array(5));
    },
  );

  it('takes 25 steps as Keras from fresh slots, the rate changing', () => {
    const config = configure({ globalClipNorm: 5 });
    const random = new Random(deriveSeed(2, 'test', name.length));
    let weights = normals(random, manifest.totalSize);
    let next: Float32Array = new Float32Array(manifest.totalSize);
    const optimizer = createOptimizer(config);
    const expected = cut(weights).map(
      (weight): ReferenceVariable => ({ weight, slots: referenceSlots(config, weight.length) }),
    );
    for (let iteration = 0; iteration < 25; iteration++) {
      const gradient = normals(random, manifest.trainableSize);
      const learningRate = Number(config.learningRate) / (1 + iteration / 10);
      referenceStep(config, expected, cut(gradient), learningRate, iteration);
      optimizer.apply({ manifest, weights, gradient, next, learningRate, iteration });
      [weights, next] = [next, weights];
    }
    trainable.forEach((weight, n) => {
      expect(relativeError(cut(weights)[n], expected[n].weight), weight.name).toBeLessThan(2e-6);
    });
  });
});

describe('centered rmsprop', () => {
  it('stays finite where rounding of the slots has made the variance negative', () => {
    // A mean of 1000 has the square 1e6; the next float32 below that is 1e6 - 0.0625.
    const optimizer = createOptimizer(rmsprop({ centered: true }));
    optimizer.loadSlots(
      new Map([['w', { velocity: Float32Array.of(1e6 - 0.0625), averageGradient: Float32Array.of(1000) }]]),
    );
    const next = new Float32Array(1);
    optimizer.apply({
      manifest: manifestWith([{ name: 'w', size: 1 }]),
      weights: new Float32Array(1),
      gradient: Float32Array.of(1000),
      next,
      learningRate: 1e-6,
      iteration: 0,
    });
    // No variance left: the denominator is √epsilon.
    expect(relativeError(next, [-(1e-6 * 1000) / Math.sqrt(1e-7)])).toBeLessThan(1e-6);
  });
});
