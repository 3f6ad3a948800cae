import { mkdir, readdir, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { InjectedFault } from '../../chaos/ledger.js';
import { fixtureJob, TestRun } from './test-run.js';

let run: TestRun;
/** Where the processes of this test keep their temporary files. */
let environment: { readonly TMPDIR: string };
beforeEach(async () => {
  run = await TestRun.begin();
  environment = { TMPDIR: run.at('tmp') };
  await mkdir(environment.TMPDIR);
});
afterEach(() => run.end());

interface Campaign {
  readonly runs: readonly { seed: number; faults: readonly InjectedFault[]; restarts: number }[];
  readonly differing: { seed: number; what: string } | null;
}

/** Runs `lockstep chaos` to its end and reads its report. */
async function campaign(job: string, options: readonly string[]) {
  const report = run.at('chaos.json');
  const args = ['chaos', fixtureJob(job), '--backend', 'wasm', '--report', report, ...options];
  const ended = await run.start(args, environment).ended;
  const text = await readFile(report, 'utf8').catch(() => {
    throw new RangeError(`no report; the process wrote: ${ended.stdout}${ended.stderr}`);
  });
  return { ...ended, report: JSON.parse(text) as Campaign };
}

const effective = ({ runs }: Campaign) =>
  runs.flatMap(({ faults }) => faults).filter(({ tookEffect }) => tookEffect);

async function expectNothingLeft(): Promise<void> {
  expect(await run.running()).toEqual([]);
  expect(await readdir(environment.TMPDIR)).toEqual([]);
}

// Five pairs: an undisturbed run against faulted ones, each with faults of its own.
describe('random faults on real processes change no bit', () => {
  it('of the CNN with BatchNorm, dropout and Adam', async () => {
    const ended = await campaign('cnn', ['--seed', '2', '--runs', '3', '--faults-per-run', '8']);
    expect(ended.entries.at(-1)?.msg).toMatch(/^same bits in 3 runs, \d+ faults that took effect/);
    expect(ended.exitCode).toBe(0);
    expect(ended.report.differing).toBeNull();
    expect(ended.report.runs.map(({ seed }) => seed)).toEqual([2, 3, 4]);
    const kinds = new Set(effective(ended.report).map((fault) => fault.do));
    expect(kinds.size).toBeGreaterThanOrEqual(5);
    // Seeds 2 to 4 draw it more than once: the coordinator itself was killed and went on.
    expect(kinds).toContain('kill-coordinator');
    expect(ended.report.runs.some(({ restarts }) => restarts > 0)).toBe(true);
    await expectNothingLeft();
  });

  it('of a job whose data is a stream', async () => {
    const ended = await campaign('stream', ['--seed', '19', '--runs', '2', '--faults-per-run', '8']);
    expect(ended.report.differing).toBeNull();
    expect(ended.exitCode).toBe(0);
    const kinds = new Set(effective(ended.report).map((fault) => fault.do));
    expect(kinds.size).toBeGreaterThanOrEqual(3);
    // Seed 19 draws it for step 1: others confirmed that a worker's NaN was its own, and it was sent away.
    expect(kinds).toContain('nan');
    await expectNothingLeft();
  });
});

describe('lockstep chaos', () => {
  it('finds a worker that computes wrong numbers, and says in which step and how to repeat it', async () => {
    const ended = await campaign('cnn', ['--actions', 'wrong', '--runs', '1', '--seed', '3']);
    expect(ended.exitCode).toBe(1);
    expect(ended.report.differing).toMatchObject({ seed: 3 });
    const said = ended.entries.map(({ msg }) => msg ?? '');
    expect(said).toContainEqual(
      expect.stringMatching(/^seed 3 differs: weightsSha256, .* part in step \d+: first in/),
    );
    expect(said).toContainEqual(expect.stringMatching(/^again: lockstep chaos .* --seed 3 --runs 1 .*wrong/));
    await expectNothingLeft();
  });

  it('ends with 130 and leaves nothing behind when it is interrupted', async () => {
    const args = ['chaos', fixtureJob('cnn'), '--backend', 'wasm', '--duration', '1h'];
    const process = run.start(args, environment);
    await process.entry(({ msg }) => msg?.startsWith('undisturbed: ') === true);
    process.kill('SIGINT');
    expect((await process.ended).exitCode).toBe(130);
    await expectNothingLeft();
  });

  it('refuses actions that it does not know', async () => {
    const ended = await run.start(['chaos', fixtureJob('cnn'), '--actions', 'kill,kil']).ended;
    expect(ended.exitCode).toBe(2);
    expect(ended.stderr).toMatch(/--actions cannot be "kil".*\n.*Did you mean --actions kill/);
  });
});
