// The entry of the process that trains as a user without Lockstep does. Started by plain-process.ts.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import util from 'node:util';
import type * as tfjs from '@tensorflow/tfjs';
import { compileOptions } from './compile-options.js';
import type { PlainConfig, PlainOrder, ToPlain } from './plain-process.js';

type Tfjs = typeof tfjs;

async function load({ backend, kernels }: PlainConfig): Promise<Tfjs> {
  if (backend === 'tensorflow' && kernels === 'stock') {
    // tfjs-node 4.22 calls functions that Node 23 removed.
    Object.assign(util, { isNullOrUndefined: (value: unknown) => value == null, isArray: Array.isArray });
    const folder = process.env.LOCKSTEP_TFJS_NODE ?? process.cwd();
    return createRequire(join(folder, 'package.json'))('@tensorflow/tfjs-node');
  }
  const { loadBackend } = await import('../worker/backend/select.js');
  await loadBackend({ backend, threads: 1 });
  return import('@tensorflow/tfjs');
}

async function trainer(config: Extract<ToPlain, PlainConfig>) {
  const tf = await load(config);
  tf.enableProdMode();
  const { topology, images, labels, rows, batchSize } = config.cnn;
  const model = await tf.models.modelFromJSON(JSON.parse(topology));
  model.compile(compileOptions);
  let nextRow = 0;

  const batchOf = (count: number): [tfjs.Tensor, tfjs.Tensor] => {
    const rowAt = (nextRow + count > rows ? 0 : nextRow) as number;
    nextRow = rowAt + count;
    const x = tf.tensor4d(images.subarray(rowAt * 784, nextRow * 784), [count, 28, 28, 1], 'float32');
    return [x, tf.tensor1d(Float32Array.from(labels.subarray(rowAt, nextRow)))];
  };

  return {
    async trainOnBatch(steps: number): Promise<number[]> {
      const timesMs: number[] = [];
      for (let step = 0; step <= steps; step++) {
        const startedMs = performance.now();
        const [x, y] = batchOf(batchSize);
        await model.trainOnBatch(x, y);
        tf.dispose([x, y]);
        if (step > 0) timesMs.push(performance.now() - startedMs);
      }
      return timesMs;
    },
    async fit(steps: number): Promise<number[]> {
      const [x, y] = batchOf((steps + 1) * batchSize);
      const endsMs: number[] = [];
      const onBatchEnd = (): void => {
        endsMs.push(performance.now());
      };
      await model.fit(x, y, { batchSize, epochs: 1, verbose: 0, callbacks: { onBatchEnd } });
      tf.dispose([x, y]);
      return endsMs.slice(1).map((endMs, i) => endMs - endsMs[i]);
    },
  };
}

let training: ReturnType<typeof trainer> | null = null;

async function handle(message: ToPlain): Promise<number[]> {
  if ('cnn' in message) {
    training = trainer(message);
    await training;
    return [];
  }
  const { method, steps }: PlainOrder = message;
  if (training === null) throw new Error('told to train before it was told what');
  return (await training)[method](steps);
}

process.on('message', (message: ToPlain) => {
  void handle(message).then((timesMs) => process.send?.(timesMs));
});
process.on('disconnect', () => process.exit(0));
