import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobFunctions } from '../../shared/job-functions.js';
import type { ShardPartial } from '../../shared/partial.js';
import { buildModel } from '../../worker/compute/build-model.js';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import { decodeStep, encodeStep } from '../../worker/compute/compiled/kept-steps.js';
import { ReferenceProgram } from '../../worker/compute/compiled/reference-program.js';
import { StepFolder } from '../../worker/compute/compiled/step-folder.js';
import { sha256Of } from '../../worker/compute/compiled/step-key.js';
import { TraceBackend } from '../../worker/compute/compiled/trace-backend.js';
import { writeShard } from '../../worker/compute/compiled/write-step.js';
import { ShardStep } from '../../worker/compute/shard-step.js';
import { specOfZoo, type ZooModel, zoo } from './compiled-zoo.js';
import { randomizeWeights, runBatch } from './eager-fixture.js';

const entry = zoo['a CNN with BatchNormalization, pooling and dropout'];

/** Made once: TensorFlow.js names the layers of a second one otherwise. */
const model = entry.build();
const weights = randomizeWeights(model, 3);
const spec = specOfZoo(model, entry);

let base: string;
let path: string;
beforeEach(async () => {
  await tf.setBackend('cpu');
  base = mkdtempSync(join(tmpdir(), 'lockstep-kept-'));
  path = join(base, 'steps');
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(base, { recursive: true });
});

/** Trains, evaluates and predicts with a new program, as the next process would. */
async function compute({ functions = new Map() as JobFunctions, folder = path, seed = 7 } = {}) {
  const traced = vi.spyOn(TraceBackend.prototype, 'record');
  const compared = vi.spyOn(ReferenceProgram.prototype, 'with');
  const { program } = await createCompiledProgram(
    { ...spec, seed },
    functions,
    1,
    'cpu',
    new StepFolder(folder),
  );
  program.setWeights(weights);
  const results: (ShardPartial | object)[] = [];
  for (const kind of ['train', 'evaluate'] as const)
    results.push(await runBatch(program, kind, entry.batch, 2));
  results.push(await program.predict(entry.batch.x));
  program.dispose();
  const counts = { traces: traced.mock.calls.length, comparisons: compared.mock.calls.length };
  vi.restoreAllMocks();
  return { results, ...counts };
}

const files = () =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name)).toString('hex')]));

describe('a compiled program that finds the steps of an earlier one', () => {
  it('traces nothing, is compared all the same, and has the same bits', async () => {
    const cold = await compute();
    const kept = files();
    // Two rows to be compared and a shard of three, in training and in evaluation, and both in prediction.
    expect([cold.traces, Object.keys(kept).length]).toEqual([6, 6]);
    const warm = await compute();
    expect([warm.traces, warm.comparisons]).toEqual([0, cold.comparisons]);
    expect(warm.comparisons).toBe(3);
    expect(warm.results).toEqual(cold.results);
    expect(files()).toEqual(kept);
    // Another seed draws other masks, and feeds them to the same graph.
    const reseeded = await compute({ seed: 8 });
    expect(reseeded.traces).toBe(0);
    expect(reseeded.results[0]).not.toEqual(cold.results[0]);
    expect(reseeded.results).toEqual((await compute({ seed: 8, folder: join(base, 'other') })).results);
  });

  it('writes the same files again in the place of what is damaged or of another step', async () => {
    const cold = await compute();
    const kept = files();
    const [flipped, cut, empty, moved, other] = Object.keys(kept).map((name) => join(path, name));
    const bytes = readFileSync(flipped);
    bytes[bytes.length - 9] ^= 4;
    writeFileSync(flipped, bytes);
    writeFileSync(cut, readFileSync(cut).subarray(0, 900));
    writeFileSync(empty, '');
    renameSync(moved, other);
    const { results, traces } = await compute();
    expect(traces).toBe(5);
    expect(results).toEqual(cold.results);
    expect(files()).toEqual(kept);
  });

  it('computes the same where nothing can be kept', async () => {
    const cold = await compute();
    writeFileSync(join(base, 'file'), '');
    const without = await compute({ folder: join(base, 'file', 'steps') });
    expect(without).toEqual(cold);
  });

  it('keeps and reads nothing if the job has functions of its own', async () => {
    const cold = await compute({ functions: new Map([['metrics/9', () => tf.scalar(0)]]) });
    expect(cold.traces).toBe(6);
    expect(readdirSync(base)).toEqual([]);
  });
});

describe('the file of a step', () => {
  const stepOf = async (of: ZooModel, seed: number) => {
    const made = of.build();
    const spec = { ...specOfZoo(made, of), seed };
    made.dispose();
    const built = await buildModel(spec);
    const step = new ShardStep(spec, new Map(), built.model, built.manifest);
    const { x, y } = of.batch;
    const sampleWeights = y.map((_, output) => of.batch.sampleWeights?.[output] ?? null);
    const task = { step: seed, shard: 0, batchRows: seed, data: { x, y, sampleWeights } };
    const written = writeShard(step, task, true, 'cpu');
    step.dispose();
    return written;
  };

  it.each(Object.entries(zoo))(
    'has the same bytes whoever writes it, and all of the step: %s',
    async (_, of) => {
      const [first, second] = [await stepOf(of, 7), await stepOf(of, 8)];
      const file = encodeStep('name', first);
      expect(Buffer.compare(encodeStep('name', second), file)).toBe(0);
      const read = decodeStep('name', file);
      expect({ ...read, model: Buffer.from(read.model) }).toEqual({
        ...first,
        model: Buffer.from(first.model),
      });
    },
  );

  it('is refused with any byte altered or missing, and under another name', async () => {
    const file = encodeStep(sha256Of('a'), await stepOf(zoo['an MLP with regularisers and dropout'], 7));
    expect(() => decodeStep(sha256Of('b'), file)).toThrow('another step');
    const refused = (bytes: Uint8Array) => expect(() => decodeStep(sha256Of('a'), bytes)).toThrow('damaged');
    for (let i = 0; i < file.length; i += i < 100 ? 1 : 7) {
      file[i] ^= 1 << (i % 8);
      refused(file);
      file[i] ^= 1 << (i % 8);
      refused(file.subarray(0, i));
    }
    expect(() => decodeStep(sha256Of('a'), file)).not.toThrow();
  });

  it('is refused for a step that JSON cannot hold', async () => {
    const step = await stepOf(entry, 7);
    const source = { kind: 'mask', shape: [2], rate: Number.NaN, layerSeed: null } as const;
    expect(() => encodeStep('name', { ...step, fed: [{ source, shape: [2], name: null }] })).toThrow(
      RangeError,
    );
  });
});
