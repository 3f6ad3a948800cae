import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, isAlive, jobSource, Lockstep, lockstep, workerPids } from './cli-process.js';

let folder: string;
let job: string;
/** A whole run on two workers, saved in `saved`. */
let whole: Ended;
const at = (name: string): string => join(folder, name);
const endOf = ({ entries }: Ended) => entries.find(({ event }) => event === 'end');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-cli-'));
  job = at('job.ts');
  await writeFile(job, jobSource());
  const saving = ['--checkpoint-dir', at('saved'), '--report', at('report.json')];
  whole = await lockstep('train', job, '--backend', 'cpu', '--workers', '2', '--seed', '7', ...saving);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function expectTwoLines(stderr: string): void {
  expect(stderr).toMatch(/^error: .+\n {2}\S.+\n$/);
}

describe('lockstep train', () => {
  it('logs the run as JSON lines where there is no terminal', () => {
    expect(whole.stderr).toBe('');
    expect(whole.exitCode).toBe(0);
    const events = whole.entries.map(({ event }) => event);
    expect(events).toContain('start');
    // 160 rows in batches of 13 are 13 steps an epoch.
    expect(whole.entries.find(({ event }) => event === 'start')).toMatchObject({
      seed: 7,
      shards: 4,
      batchSize: 13,
      stepsPerEpoch: 13,
      parameters: 49,
    });
    expect(events.filter((event) => event === 'epoch-end')).toHaveLength(3);
    expect(endOf(whole)).toMatchObject({ cause: 'done', epochs: 3, step: 39 });
  });

  it('writes a report that agrees with the end of the run', async () => {
    const report = JSON.parse(await readFile(at('report.json'), 'utf8'));
    expect(report).toMatchObject({
      weightsSha256: endOf(whole)?.weightsSha256,
      cause: 'done',
      seed: 7,
      shards: 4,
      steps: 39,
      epochs: 3,
      samplesSeen: 480,
    });
    expect(report.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(report.history.loss).toHaveLength(3);
    expect(report.history.val_loss).toHaveLength(3);
    expect(report.history.val_loss[2]).toBeLessThan(report.history.val_loss[0]);
  });

  it('leaves no worker process behind', () => {
    const pids = workerPids(whole);
    expect(pids).toHaveLength(2);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it.each([
    [['train', 'nowhere.ts'], 'the job file nowhere.ts does not exist'],
    [['train', 'JOB', '--shards', '0'], '--shards cannot be "0"'],
    [['train', 'JOB', '--resume'], '--resume needs --checkpoint-dir'],
    [['train', 'JOB', '--data', '/nowhere'], '--data /nowhere is not a folder'],
    [['train', 'JOB', '--report', '/nowhere/r.json'], 'cannot write the report /nowhere/r.json'],
    [['train', 'JOB', '--shards', '14', '--backend', 'cpu'], '14 shards of a batch of 13'],
    [['worker', '--join', 'ws://127.0.0.1:9'], 'no token'],
    [['evaluate', 'JOB', '--checkpoint', '/nowhere', '--backend', 'cpu'], '/nowhere'],
  ])('refuses %j with exit code 2, one line of what and one of what to do', async (args, what) => {
    const { exitCode, stderr } = await lockstep(...args.map((word) => (word === 'JOB' ? job : word)));
    expect(stderr).toContain(`error: `);
    expect(stderr).toContain(what);
    expectTwoLines(stderr);
    expect(exitCode).toBe(2);
  });
});

describe('lockstep evaluate', () => {
  it('gives the validation metrics that the run ended with', async () => {
    const { exitCode, entries, stderr } = await lockstep(
      'evaluate',
      job,
      '--checkpoint',
      at('saved'),
      '--backend',
      'cpu',
    );
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    const logs = (endOf(whole)?.logs ?? {}) as Record<string, number>;
    expect(entries.find(({ event }) => event === 'evaluated')?.logs).toEqual({
      loss: logs.val_loss,
      meanAbsoluteError: logs.val_meanAbsoluteError,
    });
  });
});

describe('a signal', () => {
  const slow = ['--backend', 'cpu', '--seed', '7', '--epochs', '400'];

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s finishes the step, saves, exits with %i, and the run can be resumed',
    async (signal, code) => {
      const saved = at(`after-${signal}`);
      const run = new Lockstep(['train', job, ...slow, '--checkpoint-dir', saved]);
      await run.entry(({ event, batch }) => event === 'step' && batch !== 0);
      run.kill(signal);
      const ended = await run.ended;
      expect(ended.stderr).toBe('');
      expect(ended.exitCode).toBe(code);
      expect(
        ended.entries.some(({ msg }) =>
          /^finishing the step, for at most 30 s, then saving;/.test(msg ?? ''),
        ),
      ).toBe(true);
      expect(workerPids(ended).filter(isAlive)).toEqual([]);
      const step = Number(endOf(ended)?.step);
      expect(step).toBeGreaterThan(0);
      expect(existsSync(String(endOf(ended)?.checkpoint))).toBe(true);

      // The same job, to its third epoch if that is still ahead, or else to the epoch after the present one.
      const epochs = String(Math.max(3, Math.floor(step / 13) + 1));
      const options = ['--backend', 'cpu', '--epochs', epochs, '--workers', '3'];
      const resumed = await lockstep('train', job, ...options, '--checkpoint-dir', saved, '--resume');
      const straight = await lockstep('train', job, ...options, '--seed', '7', '--workers', '1');
      expect(resumed.stderr).toBe('');
      expect(resumed.entries.find(({ event }) => event === 'start')).toMatchObject({ resumedAtStep: step });
      expect(endOf(resumed)?.weightsSha256).toBe(endOf(straight)?.weightsSha256);
    },
  );

  it('a second time ends the process at once, and its workers with it', async () => {
    const never = at('never.ts');
    // A callback that never returns: the step cannot be finished.
    await writeFile(
      never,
      jobSource({ fields: `callbacks: [{ name: 'stuck', onTrainBatchEnd: () => new Promise(() => {}) }],` }),
    );
    const run = new Lockstep(['train', never, '--backend', 'cpu']);
    await run.entry(({ event }) => event === 'epoch-begin');
    run.kill('SIGINT');
    await run.entry(({ msg }) => msg?.startsWith('finishing the step') === true);
    run.kill('SIGINT');
    const ended = await run.ended;
    expect(ended.exitCode).toBe(130);
    const pids = workerPids(ended);
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.filter(isAlive), { timeout: 5_000 }).toEqual([]);
  });

  it('while workers are awaited ends the wait', async () => {
    const token = at('token-alone');
    await writeFile(token, 'a-token-of-some-length', { mode: 0o600 });
    const run = new Lockstep(['coordinator', job, '--listen', '127.0.0.1:0', '--token-file', token]);
    await run.entry(({ msg }) => msg?.startsWith('waiting for 1 worker') === true);
    run.kill('SIGTERM');
    expect((await run.ended).exitCode).toBe(143);
  });
});

describe('lockstep coordinator and worker', () => {
  it('train to the same bits as local workers, and refuse a stranger', async () => {
    const token = at('token');
    const wrong = at('wrong-token');
    await writeFile(token, 'a-token-of-some-length', { mode: 0o600 });
    await writeFile(wrong, 'another-token-of-length', { mode: 0o600 });
    const listen = ['--listen', '127.0.0.1:0', '--token-file', token, '--workers', '2'];
    const host = new Lockstep(['coordinator', job, ...listen, '--backend', 'cpu', '--seed', '7']);
    const waiting = await host.entry(({ msg }) => msg?.startsWith('waiting for 2 workers') === true);
    const url = /ws:\S+/.exec(waiting.msg ?? '')?.[0] ?? '';

    const stranger = await lockstep('worker', '--join', url, '--token-file', wrong);
    expect(stranger.exitCode).toBe(1);
    expectTwoLines(stranger.stderr);

    const workers = [1, 2].map(() => new Lockstep(['worker', '--join', url, '--token-file', token]));
    const ended = await host.ended;
    expect(ended.stderr).toBe('');
    expect(ended.exitCode).toBe(0);
    expect(endOf(ended)?.weightsSha256).toBe(endOf(whole)?.weightsSha256);
    for (const worker of workers) expect(await worker.ended).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it('a worker without the code of the job ends with what to do', async () => {
    const token = at('token-code');
    const code = at('code.ts');
    await writeFile(token, 'a-token-of-some-length', { mode: 0o600 });
    const loss = 'loss: (yTrue: tf.Tensor, yPred: tf.Tensor) => yTrue.sub(yPred).square().mean(-1),';
    await writeFile(code, jobSource().replace(`loss: 'meanSquaredError',`, loss));
    const host = new Lockstep(['coordinator', code, '--listen', '127.0.0.1:0', '--token-file', token]);
    const waiting = await host.entry(({ msg }) => msg?.startsWith('waiting for 1 worker') === true);
    const url = /ws:\S+/.exec(waiting.msg ?? '')?.[0] ?? '';
    const { exitCode, stderr } = await lockstep('worker', '--join', url, '--token-file', token);
    expect(exitCode).toBe(2);
    expectTwoLines(stderr);
    expect(stderr).toContain('job file');
    expect(stderr).toContain('--job');
    host.kill('SIGTERM');
    expect((await host.ended).exitCode).toBe(143);
  });
});
