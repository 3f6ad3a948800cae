/**
 * What an optimizer step costs on the coordinator: `npx tsx bench/optimizer.ts [million parameters]`.
 * Every figure is the median of many steps, beside a plain memory copy of as many bytes as the step touches,
 * measured in turn with it so that both meet the same machine.
 */

import * as optimizers from '../coordinator/optimizer/configs.js';
import { createOptimizer } from '../coordinator/optimizer/flat-optimizer.js';
import type { OptimizerConfig } from '../coordinator/optimizer/optimizer.js';
import { clipGradient, firstNonFinite } from '../coordinator/reduce/clip.js';
import type { Manifest } from '../shared/manifest.js';
import { Random } from '../shared/random.js';

const million = Number(process.argv[2] ?? 1.2);
const rounds = 40;

/** A stack of dense layers with a bias each: a few large variables, a few small ones. */
function manifestOfSize(parameters: number): Manifest {
  const biases = [512, 256, 128, 10];
  const kernels = biases.map((bias) => Math.round((parameters / biases.length - bias) / bias) * bias);
  const sizes = biases.flatMap((bias, i) => [kernels[i], bias]);
  let offset = 0;
  const weights = sizes.map((size, i) => {
    const spec = { name: `weight_${i}`, shape: [size], size, trainable: true, offset };
    offset += size;
    return spec;
  });
  return { weights, trainableSize: offset, totalSize: offset, batchNorms: [], frozenLayers: [] };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Medians in milliseconds of `work` and of copying `bytes / 2` bytes, which reads and writes `bytes` in all. */
function measure(work: (round: number) => void, bytes: number): { workMs: number; copyMs: number } {
  const source = new Uint8Array(bytes / 2);
  const target = new Uint8Array(bytes / 2);
  const workMs: number[] = [];
  const copyMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    work(round);
    const betweenMs = performance.now();
    target.set(source);
    workMs.push(betweenMs - startMs);
    copyMs.push(performance.now() - betweenMs);
  }
  return { workMs: median(workMs), copyMs: median(copyMs) };
}

function report(name: string, work: (round: number) => void, bytes: number): void {
  const { workMs, copyMs } = measure(work, bytes);
  const gigabytesPerSecond = bytes / workMs / 1e6;
  const cells = [
    name.padEnd(28),
    `${workMs.toFixed(2)} ms`.padStart(10),
    `${gigabytesPerSecond.toFixed(1)} GB/s`.padStart(11),
    `${(workMs / copyMs).toFixed(1)} × copy`.padStart(13),
  ];
  console.log(cells.join(''));
}

const manifest = manifestOfSize(million * 1e6);
const size = manifest.trainableSize;
const random = new Random(1);
const fill = (): Float32Array => Float32Array.from({ length: size }, () => random.normal() * 0.05);
let weights = fill();
let next: Float32Array = new Float32Array(size);
const gradient = fill();

function reportOptimizer(name: string, config: OptimizerConfig, slots: number): void {
  const optimizer = createOptimizer(config);
  const work = (iteration: number): void => {
    optimizer.apply({ manifest, weights, gradient, next, learningRate: 1e-6, iteration });
    [weights, next] = [next, weights];
  };
  report(name, work, 4 * size * (3 + 2 * slots));
}

console.log(`${size.toLocaleString('en')} parameters, Node ${process.version}, ${process.arch}`);
reportOptimizer('sgd', optimizers.sgd(), 0);
reportOptimizer('sgd with momentum', optimizers.sgd({ momentum: 0.9 }), 1);
reportOptimizer('adam', optimizers.adam(), 2);
reportOptimizer('adamw', optimizers.adamw(), 2);
reportOptimizer('adam with amsgrad', optimizers.adam({ amsgrad: true }), 3);
reportOptimizer('rmsprop, centered', optimizers.rmsprop({ centered: true }), 2);
reportOptimizer('adagrad', optimizers.adagrad(), 1);
reportOptimizer('adadelta', optimizers.adadelta(), 2);
reportOptimizer('adamax', optimizers.adamax(), 2);
reportOptimizer('nadam', optimizers.nadam(), 2);

const checkAndClip = (): void => {
  firstNonFinite(manifest, gradient);
  clipGradient(manifest, gradient, { globalClipNorm: 1e9 });
};
report('finite check', () => firstNonFinite(manifest, gradient), 4 * size);
report('finite check, global norm', checkAndClip, 8 * size);
