import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Random } from 'lockstep';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch, Dataset } from '../../coordinator/data/dataset.js';
import type { Job } from '../../coordinator/job.js';
import digits from '../../examples/digits/job.js';
import housing from '../../examples/housing/job.js';
import cnn from '../../examples/mnist/job.js';
import mlp from '../../examples/mnist/mlp.js';
import { prepareTensorflow, tensorflowSupported } from '../fixtures/tensorflow.mjs';
import { TestRun } from './test-run.js';

const plainTfjs = fileURLToPath(new URL('./plain-tfjs.child.ts', import.meta.url));
/** The folder with mnist/ and housing/, which the project does not contain. */
const realData = process.env.LOCKSTEP_DATA;

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

function example(name: string): string {
  return fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url));
}

/** The rows that an example holds out, all in one batch. */
async function heldOut(job: Job, dataDir: string | null): Promise<Batch> {
  const validation = (await job.data({ dataDir, seed: 0, rng: new Random(0) })).validation as Dataset;
  return validation.batch(Int32Array.from({ length: validation.length }, (_, row) => row));
}

/** Folder of the newest checkpoint. */
async function newestCheckpoint(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => name.startsWith('checkpoint-'));
  const newest = names.sort((a, b) => Number(a.split('-')[1]) - Number(b.split('-')[1])).at(-1);
  return join(directory, newest ?? '');
}

/** What TensorFlow.js alone predicts with the saved model. */
async function predictPlain(directory: string, { x }: Batch): Promise<Float32Array> {
  const inputs = x.map(({ shape }, index) => ({ shape, file: run.at(`input-${index}`) }));
  await Promise.all(x.map(({ data }, index) => writeFile(inputs[index].file, Float32Array.from(data))));
  await writeFile(run.at('inputs.json'), JSON.stringify(inputs));
  const files = [await newestCheckpoint(directory), run.at('inputs.json'), run.at('predictions')];
  await promisify(execFile)(process.execPath, ['--import', 'tsx', plainTfjs, ...files]);
  return new Float32Array(new Uint8Array(await readFile(run.at('predictions'))).buffer);
}

/** Mean cross-entropy and accuracy of class probabilities. */
function scoreClasses(probabilities: Float32Array, { y }: Batch) {
  const labels = y[0].data;
  const classes = probabilities.length / labels.length;
  let [loss, right] = [0, 0];
  labels.forEach((label, row) => {
    const predicted = probabilities.subarray(row * classes, (row + 1) * classes);
    loss -= Math.log(predicted[label]) / labels.length;
    if (predicted.indexOf(Math.max(...predicted)) === label) right += 1;
  });
  return { loss, accuracy: right / labels.length };
}

/** Root mean squared error. */
function rootMeanSquared(predicted: Float32Array, { y }: Batch): number {
  const squares = predicted.map((value, row) => (value - y[0].data[row]) ** 2);
  return Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / squares.length);
}

/** What `lockstep evaluate` says of the newest checkpoint. */
async function evaluate(job: string, directory: string, ...more: string[]): Promise<Record<string, number>> {
  const args = ['evaluate', job, '--checkpoint', directory, '--workers', '2', ...more];
  const { entries, stderr } = await run.start(args).ended;
  const logs = entries.find(({ event }) => event === 'evaluated')?.logs;
  expect(logs, stderr).toBeDefined();
  return logs as Record<string, number>;
}

describe('the model that an example saves', () => {
  it('scores the same in plain TensorFlow.js as in `lockstep evaluate`, after 25 steps of the demo', async () => {
    const directory = run.at('run');
    const job = run.at('short.ts');
    await writeFile(
      job,
      `import { defineJob } from 'lockstep';
       import digits from ${JSON.stringify(example('digits/job'))};
       export default defineJob({ ...digits, epochs: 1, stepsPerEpoch: 25 });`,
    );
    const { report } = await run.train([job, '--workers', '2', '--checkpoint-dir', directory]);
    const data = await heldOut(digits, null);
    const { loss, accuracy } = scoreClasses(await predictPlain(directory, data), data);
    const evaluated = await evaluate(job, directory);
    // Other kernels than those of the workers round otherwise: one image of a thousand may change sides.
    expect(Math.abs(evaluated.loss - loss)).toBeLessThan(1e-4);
    expect(Math.abs(evaluated.accuracy - accuracy)).toBeLessThan(0.0015);
    expect(evaluated.loss).toBe(report.history.val_loss[0]);
    // Guessing gives 10 %.
    expect(accuracy).toBeGreaterThan(0.3);
  });
});

// Whole trainings: a minute or two each on two idle cores.
describe.runIf(realData !== undefined)('with real data', { timeout: 900_000 }, () => {
  let withTensorflow: Record<string, string>;
  beforeAll(async () => {
    withTensorflow = tensorflowSupported ? { LOCKSTEP_TFJS_NODE: await prepareTensorflow() } : {};
  });

  it.each([
    ['CNN', 'mnist/job', cnn, 3, 0.975],
    ['MLP', 'mnist/mlp', mlp, 10, 0.955],
  ])(
    'the %s of %s reads the held-out images of MNIST, also in plain TensorFlow.js',
    async (_name, file, job, epochs, accuracy) => {
      const [directory, data] = [run.at('run'), join(realData ?? '', 'mnist')];
      const options = ['--data', data, '--workers', '2', '--checkpoint-dir', directory];
      const { report } = await run.train([example(file), ...options], withTensorflow);
      expect(report.epochs).toBe(epochs);
      expect(report.history.val_accuracy.at(-1)).toBeGreaterThanOrEqual(accuracy);
      const batch = await heldOut(job, data);
      expect(batch.y[0].data).toHaveLength(2_000);
      expect(scoreClasses(await predictPlain(directory, batch), batch).accuracy).toBeGreaterThanOrEqual(
        accuracy,
      );
    },
  );

  it('the wide and deep network prices houses within 65,000 dollars after two epochs, also in plain TensorFlow.js', async () => {
    const [directory, data] = [run.at('run'), join(realData ?? '', 'housing')];
    const options = ['--data', data, '--workers', '2', '--epochs', '2', '--checkpoint-dir', directory];
    const { report } = await run.train([example('housing/job'), ...options]);
    const batch = await heldOut(housing, data);
    const error = rootMeanSquared(await predictPlain(directory, batch), batch);
    expect(error).toBeLessThan(0.65);
    // A constant prediction, the mean price, errs by the standard deviation of the prices.
    const prices = Float32Array.from(batch.y[0].data);
    const mean = prices.reduce((sum, price) => sum + price, 0) / prices.length;
    expect(error).toBeLessThan(0.6 * rootMeanSquared(prices.fill(mean), batch));
    expect(Math.abs(report.history.val_rootMeanSquaredError[1] - error)).toBeLessThan(1e-4);
  });
});
