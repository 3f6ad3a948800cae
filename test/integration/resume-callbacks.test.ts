import { appendFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

const job = [fixtureJob('callbacks'), '--backend', 'cpu'];
const fresh = [...job, '--shards', '4', '--seed', '7'];
const stepsPerEpoch = 7;

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

async function filesOf(name: string): Promise<{ folder: string; environment: Record<string, string> }> {
  const folder = run.at(name);
  await mkdir(folder);
  return { folder, environment: { LOCKSTEP_TEST_FILES: folder } };
}

const logOf = (folder: string) => readFile(join(folder, 'log.csv'), 'utf8');

/** The weights of the best model, a file whose name is another each time. */
async function bestOf(folder: string): Promise<Buffer> {
  const names = (await readdir(join(folder, 'best'))).filter((name) => name.endsWith('.bin'));
  expect(names).toHaveLength(1);
  return readFile(join(folder, 'best', names[0]));
}

function expectSameEnd(got: Trained, expected: Trained): void {
  expect(got.report.cause).toBe(expected.report.cause);
  expect(bitsOf(got)).toEqual(bitsOf(expected));
}

it('a stream, early stopping, a reduced learning rate and logs go on as if nothing had happened', async () => {
  const undisturbed = await filesOf('undisturbed');
  const reference = await run.train([...fresh, '--workers', '1'], undisturbed.environment);
  const { report } = reference;
  expect(report.cause).toBe('stopped-early');
  const [firstRate, lastRate] = [report.history.learning_rate.at(0), report.history.learning_rate.at(-1)];
  expect(lastRate).toBeLessThan(Number(firstRate));

  // In the middle of the last epoch: the best weights and the patience left are in the checkpoint or nowhere.
  const step = (report.epochs - 1) * stepsPerEpoch + 3;
  const stopped = await filesOf('stopped');
  const saving = ['--checkpoint-dir', run.at('run')];
  const held = run.startTraining(['train', ...fresh, ...saving, '--workers', '3'], {
    ...stopped.environment,
    LOCKSTEP_TEST_HOLD: String(step),
  });
  await held.process.entry(({ message }) => message === `holding after step ${step}`);
  held.process.kill('SIGINT');
  const interrupted = await held.trained;
  expect(interrupted.exitCode).toBe(130);
  expect(interrupted.report.steps).toBe(step);
  // As if it had logged more before it died.
  await appendFile(join(stopped.folder, 'log.csv'), '99,1,1,1,1\n');

  const resuming = ['--workers', '2', ...saving, '--resume'];
  const resumed = await run.train([...job, ...resuming], stopped.environment);
  expect(resumed.report.resumedAtStep).toBe(step);
  expectSameEnd(resumed, reference);
  expect(await logOf(stopped.folder)).toBe(await logOf(undisturbed.folder));
  expect(await bestOf(stopped.folder)).toEqual(await bestOf(undisturbed.folder));

  // A run that early stopping has ended stays ended, and says where its model is.
  const again = await run.train([...job, ...resuming], stopped.environment);
  expect(again.exitCode).toBe(0);
  expectSameEnd(again, reference);
  expect(again.report.shardsComputed).toBe(0);
  expect(again.report.checkpoint).toMatch(new RegExp(`-step-0*${reference.report.steps}$`));
});

it('a finished run that is resumed for another epoch ends like one that was asked for all of them', async () => {
  const tiny = { LOCKSTEP_TEST_SIZE: 'tiny' };
  const cnn = [fixtureJob('cnn'), '--backend', 'cpu'];
  const saving = ['--checkpoint-dir', run.at('run')];
  await run.train([...cnn, '--shards', '4', '--seed', '7', ...saving, '--epochs', '1'], tiny);
  const more = await run.train([...cnn, ...saving, '--resume', '--epochs', '2'], tiny);
  const reference = await run.train([...cnn, '--shards', '4', '--seed', '7', '--epochs', '2'], tiny);
  expect(more.report.resumedAtStep).toBe(10);
  expectSameEnd(more, reference);
});
