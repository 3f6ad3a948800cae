import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockstep } from './cli-process.js';
import { flipWeightBit } from './flip-weight-bit.js';
import { fixtureJob, TestRun, type Trained } from './test-run.js';

// test/fixtures/jobs/cnn.ts, tiny: 10 steps an epoch, 2 epochs, a checkpoint every 4 steps and at the ends of epochs.
const tiny = { LOCKSTEP_TEST_SIZE: 'tiny' };
const job = [fixtureJob('cnn'), '--backend', 'cpu'];
const fresh = [...job, '--shards', '4', '--seed', '7'];

let run: TestRun;
let undisturbed: Trained;

const train = (folder: string, args: readonly string[], environment = {}): Promise<Trained> =>
  run.train([...args, '--checkpoint-dir', run.at(folder)], { ...tiny, ...environment });

const diff = async (a: string, b: string) => {
  const { exitCode, stdout, stderr } = await lockstep('diff-runs', run.at(a), run.at(b));
  const short = (text: string): string => text.replaceAll(`${run.folder}/`, '');
  return { exitCode, lines: short(stdout).trimEnd().split('\n'), error: short(stderr) };
};

/** Paths of the checkpoints in a run folder, oldest first. */
async function checkpointsIn(folder: string): Promise<string[]> {
  const names = await readdir(run.at(folder));
  return names
    .filter((name) => name.startsWith('checkpoint-'))
    .sort()
    .map((name) => join(run.at(folder), name));
}

beforeAll(async () => {
  run = await TestRun.begin();
  const args = ['train', ...fresh, '--workers', '1', '--record-shards', '--checkpoint-dir', run.at('one')];
  const { process, trained } = run.startTraining(args, { ...tiny, LOCKSTEP_TEST_HOLD: '14' });
  // However slow the disk, the last checkpoint but one is of step 8 or later.
  await process.entry(({ event, step }) => event === 'checkpoint' && Number(step) >= 8);
  await process.entry(({ message }) => message === 'holding after step 14');
  process.kill('SIGUSR2');
  undisturbed = await trained;
});
afterAll(() => run.end());

/** Changes a line of a copy of the undisturbed run's receipts. */
async function copyWith(name: string, change: (lines: string[]) => string[]): Promise<void> {
  const text = await readFile(join(run.at('one'), 'receipts.jsonl'), 'utf8');
  await writeFile(run.at(name), change(text.split('\n')).join('\n'));
}

describe('lockstep diff-runs', () => {
  it('finds the same bits on another number of workers, and the report names file and chain', async () => {
    expect(undisturbed.report).toMatchObject({
      skippedSteps: [],
      receipts: { file: join(run.at('one'), 'receipts.jsonl') },
    });
    const { report } = await train('three', [...fresh, '--workers', '3']);
    expect(report.receipts?.chain).toBe(undisturbed.report.receipts?.chain);
    expect(await diff('one', 'three')).toEqual({
      exitCode: 0,
      lines: ['same bits over 20 steps'],
      error: '',
    });
  });

  it('finds the same bits after the coordinator was killed and the run resumed', async () => {
    const hold = { LOCKSTEP_TEST_HOLD: '6' };
    const args = ['train', ...fresh, '--workers', '2', '--checkpoint-dir', run.at('killed')];
    const process = run.start(args, { ...tiny, ...hold });
    await process.entry(({ event, step }) => event === 'checkpoint' && step === 4);
    await process.entry(({ message }) => message === 'holding after step 6');
    // Receipts are written within a second: those beyond the checkpoint are to be cut off again.
    await expect
      .poll(() => readFile(join(run.at('killed'), 'receipts.jsonl'), 'utf8'), { timeout: 10_000 })
      .toContain('{"step":6,');
    process.kill('SIGKILL');
    await process.ended;
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);

    expect(await diff('killed', 'one')).toEqual({
      exitCode: 0,
      lines: ['same bits over 6 steps', '  killed ends after step 6, one goes on to step 20'],
      error: '',
    });
    const resumed = await train('killed', [...job, '--workers', '3', '--resume']);
    expect(resumed.report.resumedAtStep).toBe(4);
    expect(resumed.entries.filter(({ event }) => event === 'warning')).toEqual([]);
    expect(resumed.report.receipts?.chain).toBe(undisturbed.report.receipts?.chain);
    expect(await diff('one', 'killed')).toMatchObject({ exitCode: 0, lines: ['same bits over 20 steps'] });
  });

  it('names step, shard and tensor where one bit of the restored weights was another', async () => {
    const held = run.start(['train', ...fresh, '--record-shards', '--checkpoint-dir', run.at('flipped')], {
      ...tiny,
      LOCKSTEP_TEST_HOLD: '6',
    });
    await held.entry(({ event, step }) => event === 'checkpoint' && step === 4);
    held.kill('SIGKILL');
    await held.ended;
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);
    const [checkpoint] = await checkpointsIn('flipped');
    await flipWeightBit(checkpoint, { andItsChecksums: true });
    await train('flipped', [...job, '--resume', '--record-shards']);
    const { exitCode, lines } = await diff('one', 'flipped');
    expect(exitCode).toBe(1);
    expect(lines[0]).toMatch(
      /^one and flipped part in step 5: first in the gradient of shard 0 for \S+\/kernel$/,
    );
    expect(lines[1]).toMatch(/^ {2}Look for state or randomness/);
  });

  it('says first that the seeds differ', async () => {
    await train('seed', [...job, '--shards', '4', '--seed', '8', '--epochs', '1']);
    const { exitCode, lines } = await diff('one', 'seed');
    expect(exitCode).toBe(1);
    expect(lines).toEqual([
      'one and seed have different seeds (7 and 8): their bits are not expected to agree',
      '  Compare runs of one job with the same --seed, --shards and --batch-size.',
    ]);
  });

  it('reads a file that was cut in the middle of a line', async () => {
    await copyWith('cut.jsonl', (lines) => [...lines.slice(0, 8), lines[8].slice(0, 40)]);
    expect(await diff('cut.jsonl', 'one')).toMatchObject({
      exitCode: 0,
      lines: ['same bits over 7 steps', expect.anything()],
    });
  });

  it.each([
    [
      'changed',
      (lines: string[]) => lines.with(3, lines[3].replace('"batch":2', '"batch":9')),
      'was changed at step 3',
    ],
    ['no receipts', () => ['epoch,loss', '0,1', ''], 'is no receipt'],
    ['empty', () => [''], 'line 1 of empty.jsonl is no receipt'],
  ])('refuses what it cannot compare: %s', async (name, change, message) => {
    const file = `${name.replace(' ', '-')}.jsonl`;
    await copyWith(file, change);
    const { exitCode, error } = await diff('one', file);
    expect(exitCode).toBe(2);
    expect(error).toContain(message);
    expect(error.trimEnd().split('\n')).toHaveLength(2);
  });

  it('refuses a folder without receipts, and says which folder has some', async () => {
    const { exitCode, error } = await diff('one', 'nothing');
    expect(exitCode).toBe(2);
    expect(error).toContain('cannot read the receipts');
    expect(error).toContain('--checkpoint-dir');
  });
});

it('a resumed run whose receipts were changed says so, and ends with the same chain', async () => {
  await cp(run.at('one'), run.at('changed'), { recursive: true });
  const file = join(run.at('changed'), 'receipts.jsonl');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('"batch":5', '"batch":6'));
  // Back to a checkpoint after the changed step: the newest one is that of the end.
  const newest = (await checkpointsIn('changed')).at(-1) ?? '';
  await rm(newest, { recursive: true });
  const resumed = await train('changed', [...job, '--resume', '--workers', '1']);
  expect(resumed.report.receipts?.chain).toBe(undisturbed.report.receipts?.chain);
  const warnings = resumed.entries.filter(({ event }) => event === 'warning');
  expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('step 6 was changed')]);
});
