import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

// test/fixtures/jobs/cnn.ts: 6 steps an epoch, 2 epochs, a checkpoint every 4 steps and at the ends of epochs.
const job = [fixtureJob('cnn'), '--backend', 'wasm'];

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

/** Every file below a folder: its bytes and when it was written. @param living what its owner still writes */
async function contentOf(folder: string, living: string | null = null): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.name === living) continue;
    const path = join(entry.parentPath, entry.name);
    const { mtimeNs } = await stat(path, { bigint: true });
    content[path] = `${mtimeNs} ${entry.isFile() ? (await readFile(path)).toString('base64') : 'folder'}`;
  }
  return content;
}

it('a second coordinator is refused before it reads or changes anything', async () => {
  const folder = run.at('run');
  const { process: first } = run.startTraining(
    ['train', ...job, '--workers', '1', '--checkpoint-dir', folder],
    { LOCKSTEP_TEST_HOLD: '5' },
  );
  await first.entry((entry) => entry.event === 'checkpoint' && entry.step === 4);
  await first.entry(({ message }) => message === 'holding after step 5');
  const before = await contentOf(folder, 'receipts.jsonl');
  for (const more of [['--resume'], []]) {
    const second = await run.start(['train', ...job, '--checkpoint-dir', folder, ...more]).ended;
    expect(second.exitCode).toBe(2);
    expect(second.stderr).toMatch(/^error: the run folder .* is held by process \d+ on .*\n {2}\S.+\n$/);
    // Had it read the folder, it would tell of the checkpoint there.
    expect(second.entries.filter(({ event }) => event !== undefined)).toEqual([]);
    expect(await contentOf(folder, 'receipts.jsonl')).toEqual(before);
  }
  first.kill('SIGTERM');
  expect((await first.ended).exitCode).toBe(143);
});

it('a resume of a folder that does not exist makes none', async () => {
  const folder = run.at('mistyped');
  const { exitCode, stderr } = await run.start(['train', ...job, '--checkpoint-dir', folder, '--resume'])
    .ended;
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/^error: there is no checkpoint in .*mistyped\n/);
  expect(await readdir(run.folder)).toEqual([]);
});

it('a coordinator that was stopped and replaced notices when it goes on, and touches nothing any more', async () => {
  const decided = [...job, '--shards', '4', '--seed', '7', '--workers', '1'];
  const undisturbed = await run.train(decided);
  const folder = run.at('run');
  // Right before the checkpoint of step 8.
  const stale = run.start(['train', ...decided, '--checkpoint-dir', folder], { LOCKSTEP_TEST_HOLD: '7' });
  await stale.entry((entry) => entry.event === 'checkpoint' && entry.step === 6);
  await stale.entry(({ message }) => message === 'holding after step 7');
  stale.kill('SIGSTOP');

  // Its host cannot be reached, people are sure that it is dead, and do what the error says.
  const refused = await run.start(['train', ...decided, '--checkpoint-dir', folder, '--resume']).ended;
  expect(refused.exitCode).toBe(2);
  const lock = join(folder, 'lock-000001.json');
  await writeFile(lock, JSON.stringify({ ...JSON.parse(await readFile(lock, 'utf8')), released: true }));
  const resumed = await run.train([...decided, '--checkpoint-dir', folder, '--resume']);
  expect(resumed.report.resumedAtStep).toBe(6);
  expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));

  const before = await contentOf(folder);
  stale.kill('SIGCONT');
  stale.kill('SIGUSR2');
  const { exitCode, stderr, entries } = await stale.ended;
  expect(stderr).toMatch(
    /^error: another coordinator with term 2 has taken over the run folder .*: process \d+ on .*\n {2}\S.+\n$/,
  );
  expect(exitCode).toBe(2);
  expect(entries.filter(({ event }) => event === 'checkpoint').map(({ step }) => step)).toEqual([4, 6]);
  expect(await contentOf(folder)).toEqual(before);
  await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);
});
