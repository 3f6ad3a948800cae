import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineJob, type Job } from '../../coordinator/job.js';
import { callbacksOf, checkJob } from '../../coordinator/load-job.js';
import { LockstepError } from '../../shared/errors.js';
import { functionsOf } from '../../shared/job-file.js';
import { Random } from '../../shared/random.js';

const good: Job = {
  model: () => {
    throw new RangeError('never built here');
  },
  data: () => {
    throw new RangeError('never read here');
  },
  loss: 'meanSquaredError',
  optimizer: 'adam',
};

function refusal(fields: object): LockstepError {
  try {
    checkJob(defineJob({ ...good, ...fields }), 'job.ts');
  } catch (error) {
    if (error instanceof LockstepError) return error;
  }
  throw new RangeError('the job was accepted');
}

describe('checkJob', () => {
  it('gives back the job itself, not a copy', () => {
    const job = defineJob({ ...good, metrics: ['accuracy'], batchSize: 8, callbacks: [{ name: 'mine' }] });
    expect(checkJob(job, 'job.ts')).toBe(job);
  });

  it('refuses what defineJob did not make', () => {
    for (const value of [undefined, null, 3, {}, good]) {
      expect(() => checkJob(value, 'job.ts')).toThrow(
        'job.ts: the default export is no job made with defineJob',
      );
    }
  });

  it.each([
    [{ batchSize: 0 }, 'field batchSize cannot be 0; expected an integer of at least 1'],
    [{ batchSize: 1.5 }, 'field batchSize cannot be 1.5; expected an integer of at least 1'],
    [{ epochs: '3' }, 'field epochs cannot be "3"; expected an integer of at least 1'],
    [{ validationSplit: 1 }, 'field validationSplit cannot be 1; expected a fraction between 0 and 1'],
    [{ shuffle: 'yes' }, 'field shuffle cannot be "yes"; expected true or false'],
    [
      { checkpoint: { keepLast: 0 } },
      'field checkpoint.keepLast cannot be 0; expected an integer of at least 1',
    ],
    [{ loss: [3] }, 'field loss cannot be a list; expected the name of a loss or a function, or a list'],
    [{ optimizer: 'adan' }, 'field optimizer cannot be "adan"; expected one of sgd, adagrad,'],
    [{ model: undefined }, 'field model is missing; expected a function that builds the model'],
    [{ callbacks: [{}] }, 'field callbacks cannot be a list; expected a list of callbacks, each with a name'],
  ])('names the field, what it is and what it should be: %j', (fields, message) => {
    const error = refusal(fields);
    expect(error.code).toBe('JOB_INVALID');
    expect(error.message).toContain(`job.ts: ${message}`);
  });

  it('guesses which field a mistyped one was meant to be', () => {
    expect(refusal({ batchsize: 8 })).toMatchObject({
      message: 'job.ts: unknown field batchsize',
      hint: 'Did you mean batchSize?',
    });
    expect(refusal({ checkpoint: { everyStep: 5 } })).toMatchObject({
      message: 'job.ts: unknown field checkpoint.everyStep',
      hint: 'Did you mean everySteps?',
    });
    expect(refusal({ zebra: 1 }).hint).toMatch(/^Fields are: model, data, loss,/);
  });
});

describe('callbacksOf', () => {
  const context = { dataDir: null, seed: 3, rng: new Random(1) };

  it('gives the callbacks themselves, from a list or a function of the context', () => {
    const list = [{ name: 'mine' }];
    expect(callbacksOf({ ...good, callbacks: list }, context)).toBe(list);
    const made = callbacksOf({ ...good, callbacks: ({ seed }) => [{ name: `mine ${seed}` }] }, context);
    expect(made).toEqual([{ name: 'mine 3' }]);
    expect(callbacksOf(good, context)).toEqual([]);
  });

  it.each([[[{ onEpochEnd() {} }]], [undefined], [{ name: 'alone' }]])(
    'refuses a function that gives %j',
    (given) => {
      expect(() => callbacksOf({ ...good, callbacks: () => given as never }, context)).toThrow(
        expect.objectContaining({ code: 'JOB_INVALID', message: expect.stringContaining('names') }),
      );
    },
  );
});

describe('functionsOf', () => {
  const first = () => 1;
  const second = () => 2;

  it('keys a single loss and a list of metrics by field and index', () => {
    const functions = functionsOf({ loss: first, metrics: ['accuracy', second] });
    expect([...functions]).toEqual([
      ['loss', first],
      ['metrics/1', second],
    ]);
  });

  it('keys functions of several outputs by the output', () => {
    const functions = functionsOf({
      loss: { price: first, kind: 'categoricalCrossentropy' },
      metrics: { kind: ['accuracy', first], price: second },
      weightedMetrics: [second],
    });
    expect(Object.fromEntries(functions)).toEqual({
      'loss/price': first,
      'metrics/kind/1': first,
      'metrics/price': second,
      'weightedMetrics/0': second,
    });
  });

  it('finds none in a job of names alone', () => {
    expect(functionsOf(good).size).toBe(0);
  });
});

// The loader's hooks belong to Node's own module loader, so these run it in processes of their own.
describe('readJobFile', () => {
  const run = promisify(execFile);
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockstep-job-file-'));
    const source = fileURLToPath(new URL('../../shared/job-file.ts', import.meta.url));
    await writeFile(
      join(folder, 'read.mts'),
      `import { readJobFile } from ${JSON.stringify(source)};
      readJobFile(process.argv[2]).then(
        ({ sha256, functions, customClasses, exported }) =>
          console.log(JSON.stringify({ sha256, keys: [...functions.keys()], customClasses, made: exported?.made })),
        ({ code, message, hint }) => console.log(JSON.stringify({ code, message, hint })),
      );`,
    );
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function read(job: string): Promise<Record<string, unknown>> {
    const args = ['--import', 'tsx', join(folder, 'read.mts'), join(folder, job)];
    const { stdout } = await run(process.execPath, args, {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    const json = stdout.split('\n').find((line) => line.startsWith('{'));
    return JSON.parse(json ?? 'null');
  }

  it('reads a TypeScript job with a custom layer', async () => {
    await writeFile(join(folder, 'made.ts'), 'export enum Made { Here = 42 }');
    const text = `
      import * as tf from '@tensorflow/tfjs';
      import { Made } from './made.js';
      class Doubling extends tf.layers.Layer { static className = 'Doubling' }
      tf.serialization.registerClass(Doubling);
      export default { made: Made.Here as number, loss: () => 0, metrics: ['accuracy'] };`;
    await writeFile(join(folder, 'job.ts'), text);
    expect(await read('job.ts')).toEqual({
      sha256: createHash('sha256').update(text).digest('hex'),
      keys: ['loss'],
      customClasses: ['Doubling'],
      made: 42,
    });
  });

  it('reads a JavaScript job', async () => {
    await writeFile(join(folder, 'plain.mjs'), 'export default { made: 1 }');
    expect(await read('plain.mjs')).toMatchObject({ keys: [], customClasses: [], made: 1 });
  });

  it('says that a job file does not exist', async () => {
    expect(await read('nowhere.ts')).toMatchObject({
      code: 'JOB_NOT_FOUND',
      message: `the job file ${join(folder, 'nowhere.ts')} does not exist`,
    });
  });

  it('says why a job file cannot be imported, in one line', async () => {
    await writeFile(join(folder, 'throws.ts'), 'throw new RangeError("no data here\\nmore")');
    expect((await read('throws.ts')).message).toMatch(
      /cannot import the job file .*throws\.ts: no data here$/,
    );
    await writeFile(join(folder, 'typo.ts'), 'const a: = 1');
    expect((await read('typo.ts')).message).toMatch(/typo\.ts:1:9: ERROR: /);
    await writeFile(join(folder, 'misses.mjs'), 'import "not-installed-anywhere"');
    expect((await read('misses.mjs')).hint).toMatch(/^Install the missing package/);
  });
});
