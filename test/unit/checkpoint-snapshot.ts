import type { Snapshot } from '../../coordinator/checkpoint/snapshot.js';
import type { Manifest } from '../../shared/manifest.js';

/** float32 values whose bits are easily lost: NaNs with a payload, -0, subnormals. */
const delicate = new Float32Array(
  Uint32Array.of(0x7fc12345, 0xffc00001, 0x80000000, 1, 0x807fffff, 0x3dcccccd).buffer,
);

const manifest: Manifest = {
  weights: [
    { name: 'dense/kernel', shape: [3, 2], size: 6, trainable: true, offset: 0 },
    { name: 'norm/moving_mean', shape: [2], size: 2, trainable: false, offset: 8 },
    { name: 'dense/bias', shape: [2], size: 2, trainable: true, offset: 6 },
  ],
  trainableSize: 8,
  totalSize: 10,
  batchNorms: [{ layer: 'norm', momentum: 0.99, channels: 2, mean: 1, variance: 1 }],
  frozenLayers: ['head/inner'],
};

/** A small snapshot that holds what is hard to keep. `step` tells one from another. */
export function snapshotAt(step: number): Snapshot {
  const flat = new Float32Array(10);
  flat.set(delicate);
  flat.set([step, -step, 0.1, 1e-45], 6);
  return {
    manifest,
    topology: { class_name: 'Sequential', config: { name: 'net', layers: [] } },
    flat,
    slots: new Map([
      ['dense/kernel', { m: Float32Array.from(delicate).reverse(), v: new Float32Array(6).fill(step) }],
      ['dense/bias', { m: Float32Array.of(1, 2), v: Float32Array.of(-0, 4) }],
    ]),
    tensors: {
      sums: new Float64Array(
        BigUint64Array.of(0x7ff8000000000001n, 1n, 1n << 63n, 0x3fb999999999999an).buffer,
      ),
      'callback/earlyStopping/best/0': Float32Array.from(delicate),
      empty: new Float32Array(0),
    },
    run: {
      runId: 'run-1',
      version: '0.1.0',
      term: 3,
      step,
      epoch: 2,
      batch: 5,
      cursor: { position: 640, hash: 'a1' },
      stopped: false,
      skippedSteps: [3, 4],
      receiptsChain: '0123456789abcdef0123456789abcdef',
      samplesSeen: 128 * step,
      shards: 4,
      seed: 7,
      batchSize: 128,
      settings: { loss: [{ output: 'out', kind: 'builtin', name: 'meanSquaredError' }], classWeight: null },
      optimizer: { config: { name: 'adam', epsilon: 1e-7 }, iteration: step, learningRate: null },
      backend: 'cpu',
      program: 'eager',
      fingerprint: { node: 'v20' },
      canary: { program: 'b'.repeat(64), sha256: 'c'.repeat(64) },
      mixed: [],
      manifestHash: 'ff',
      callbacks: {
        earlyStopping: { best: Number.POSITIVE_INFINITY, wait: 2, $odd: [Number.NaN, -0, 0.1 + 0.2] },
      },
    },
  };
}
