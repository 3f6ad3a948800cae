import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listen } from '../../coordinator/server/listener.js';
import { protocolVersion } from '../../shared/protocol/version.js';
import { connect } from '../../worker/connect.js';
import type { Ended } from './cli-process.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

const job = fixtureJob('flawed');
const good = [job, '--backend', 'cpu', '--workers', '1'];

/** A finished run of the job as it should be, and its folder. */
let finished: TestRun;
let reference: Trained;
beforeAll(async () => {
  finished = await TestRun.begin();
  const saving = ['--checkpoint-dir', finished.at('saved')];
  reference = await finished.train([...good, '--shards', '4', '--seed', '7', ...saving]);
  expect(reference.exitCode).toBe(0);
});
afterAll(() => finished.end());

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

/** One line of what, one line of what to do, and no process that goes on. */
async function expectRefusal({ exitCode, stderr }: Ended, code: 1 | 2, what: RegExp): Promise<void> {
  expect(stderr).toMatch(/^error: .+\n {2}\S.+\n$/);
  expect(stderr).toMatch(what);
  expect(exitCode).toBe(code);
  expect(await run.running()).toEqual([]);
}

const refused = async (args: readonly string[], what: RegExp, environment: Record<string, string> = {}) =>
  expectRefusal(await run.start(args, environment).ended, 2, what);

describe('before anything is computed, with exit code 2, lockstep train refuses', () => {
  it('a job file that does not exist', () =>
    refused(['train', 'nowhere.ts'], /job file nowhere\.ts does not exist/));

  it.each([
    ['no default export', 'export const job = 1;', /the default export is no job made with defineJob/],
    ['a mistake in its code', 'export default defineJob({', /cannot import the job file/],
    [
      'a package that is not there',
      `import 'nowhere-to-be-found';\nexport default 1;`,
      /nowhere-to-be-found.*\n.*[Ii]nstall the missing package/,
    ],
    [
      'a field that no job has',
      `import job from ${JSON.stringify(job)};
       import { defineJob } from 'lockstep';
       export default defineJob({ ...job, batchsize: 3 });`,
      /unknown field batchsize\n.*batchSize/,
    ],
  ])('a job file with %s', async (_, source, what) => {
    const file = run.at('job.ts');
    await writeFile(file, source);
    await refused(['train', file], what);
  });

  it.each([
    [['--wokers', '2'], /unknown option '--wokers'\n.*--workers/],
    [['--workers', 'two'], /--workers cannot be "two"/],
    [['--backend', 'wsam'], /--backend cannot be "wsam".*\n.*wasm/],
    [['--batch-size', '65'], /a batch of 65 rows from 64 rows of data/],
    [['--shards', '17'], /17 shards of a batch of 16 rows/],
  ])('the options %j', (options, what) => refused(['train', ...good, ...options], what));

  it.each([
    ['shape', /input \S+: expected \[\*, 4\], got \[\*, 5\]/],
    ['label', /row 40 of \S+ has the label 3, expected 0 to 2/],
    ['NaN', /row 41 of input \S+ holds NaN/],
    ['infinity', /row 42 of input \S+ holds Infinity/],
    ['empty', /the dataset holds no rows/],
  ])('data with a wrong %s', (flaw, what) => refused(['train', ...good], what, { LOCKSTEP_TEST_FLAW: flaw }));

  it.each([
    ['a missing IDX file', 'IDX', null, /images\.idx does not exist/],
    [
      'a truncated IDX file',
      'IDX',
      Buffer.from([0, 0, 8, 1, 0, 0, 0, 9, 1, 2]),
      /images\.idx: it has 10 bytes, expected 17/,
    ],
    ['a ragged CSV file', 'CSV', 'a,b\n1,2\n3\n', /table\.csv.*line 3/],
  ])('%s', async (_, flaw, content, what) => {
    const file = run.at(flaw === 'IDX' ? 'images.idx' : 'table.csv');
    if (content !== null) await writeFile(file, content);
    await refused(['train', ...good, '--data', run.folder], what, { LOCKSTEP_TEST_FLAW: flaw });
  });

  it('a checkpoint folder that cannot be made, because a file is in the way', async () => {
    await writeFile(run.at('file'), 'mine');
    await refused(
      ['train', ...good, '--checkpoint-dir', run.at('file/runs')],
      /cannot write to .*\n.*a file is in the way/,
    );
    expect(await readFile(run.at('file'), 'utf8')).toBe('mine');
  });

  it('a folder that another run is using, and lets that run go on', async () => {
    const folder = run.at('run');
    const args = [...good, '--shards', '4', '--seed', '7', '--checkpoint-dir', folder];
    const held = await run.startCoordinator(args, 1);
    // It has the folder as soon as its lock is there, and waits for a worker.
    await expect
      .poll(() => readdir(folder).catch(() => []), { timeout: 30_000 })
      .toContain('lock-000001.json');
    const second = await run.start(['train', ...args]).ended;
    run.startWorker(held);
    const first = await held.trained;
    await expectRefusal(second, 2, /held by process \d+/);
    expect(bitsOf(first)).toEqual(bitsOf(reference));
  });
});

describe('lockstep train --resume refuses, with exit code 2 and the run folder as it was,', () => {
  it.each([
    ['another model', [], 'another model', /another model/],
    ['another optimizer', [], 'another optimizer', /another optimizer/],
    ['another number of shards', ['--shards', '2'], 'none', /the run has 4 shards, not 2/],
    ['another batch size', ['--batch-size', '8'], 'none', /the run has batches of 16, not 8/],
    ['another seed', ['--seed', '8'], 'none', /the run has seed 7, not 8/],
    ['another backend', ['--backend', 'wasm'], 'none', /the run computes on cpu, not wasm/],
  ])('%s', async (_, options, flaw, what) => {
    const folder = run.at('copy');
    await cp(finished.at('saved'), folder, { recursive: true });
    const before = await contentOf(folder);
    await refused(
      ['train', ...good, '--epochs', '3', '--checkpoint-dir', folder, '--resume', ...options],
      what,
      { LOCKSTEP_TEST_FLAW: flaw },
    );
    expect(await contentOf(folder)).toEqual(before);
  });

  it.each(['an empty folder', 'a folder that is not there'])('%s', async (kind) => {
    const folder = run.at('nothing');
    if (kind === 'an empty folder') await mkdir(folder);
    await refused(['train', ...good, '--checkpoint-dir', folder, '--resume'], /there is no checkpoint in/);
    expect(await readdir(run.folder)).toEqual(kind === 'an empty folder' ? ['nothing'] : []);
    expect(await contentOf(folder)).toEqual({});
  });
});

describe('a run that cannot go on', () => {
  it('saves what it has committed when a row that is read late holds NaN', async () => {
    const folder = run.at('run');
    const args = ['train', ...good, '--shards', '4', '--seed', '7', '--checkpoint-dir', folder];
    const ended = await run.start(args, { LOCKSTEP_TEST_FLAW: 'NaN read late' }).ended;
    await expectRefusal(ended, 2, /row \d+ of input \S+ holds NaN/);
    // Rows 0 to 47 are three batches of 16.
    expect(ended.entries.filter(({ event }) => event === 'checkpoint').at(-1)).toMatchObject({ step: 3 });
  });

  it('ends with exit code 1 when no local worker can load the backend', async () => {
    const args = ['train', job, '--backend', 'tensorflow'];
    const ended = await run.start(args, { LOCKSTEP_TFJS_NODE: run.folder }).ended;
    await expectRefusal(ended, 1, /tensorflow/);
  });
});

describe('lockstep coordinator', () => {
  it('refuses a busy port with exit code 2', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const args = ['coordinator', ...good, '--listen', `127.0.0.1:${port}`];
      const ended = await run.start(args, { LOCKSTEP_TOKEN: 'a token of enough characters' }).ended;
      await expectRefusal(ended, 2, new RegExp(`127\\.0\\.0\\.1:${port}`));
    } finally {
      server.close();
    }
  });

  it('refuses to start without a token, with exit code 2', () =>
    refused(['coordinator', ...good, '--listen', '127.0.0.1:0'], /no token/));

  it('turns strangers and a worker without a backend away, and trains to the same bits', async () => {
    const coordinator = await run.startCoordinator([...good, '--shards', '4', '--seed', '7'], 2);
    const { url } = coordinator;
    const workers = [run.startWorker(coordinator)];
    await coordinator.process.entry(({ event }) => event === 'worker-joined');

    const wrong = run.at('wrong-token');
    await writeFile(wrong, 'not the token of this run', { mode: 0o600 });
    const stranger = await run.startWorker({ url, token: wrong }).ended;
    expect(stranger.exitCode).toBe(1);
    expect(stranger.stderr).toMatch(/^error: .*token.*\n {2}.*--token-file.*\n$/);

    const token = (await readFile(coordinator.token, 'utf8')).trim();
    await expect(connect({ url, token, protocol: protocolVersion + 1 })).rejects.toMatchObject({
      code: 'PROTOCOL_VERSION',
    });

    const without = { LOCKSTEP_TFJS_NODE: run.folder };
    const unable = await run.startWorker(coordinator, ['--backend', 'tensorflow'], without).ended;
    expect(unable.exitCode).toBe(1);
    expect(unable.stderr).toMatch(/^error: .*tensorflow.*\n {2}\S.+\n$/);

    workers.push(run.startWorker(coordinator));
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expect(trained.report.workers.map(({ lost }) => lost)).toEqual([null, null]);
    for (const worker of workers) expect((await worker.ended).exitCode).toBe(0);
  });
});

it('lockstep worker leaves a coordinator of another protocol version with exit code 1', async () => {
  const token = 'a token of enough characters';
  const listener = await listen({
    address: { host: '127.0.0.1', port: 0 },
    token,
    runId: 'run',
    term: 1,
    protocol: protocolVersion + 1,
    warn: () => {},
    onPeer: () => {},
  });
  try {
    const ended = await run.start(['worker', '--join', listener.url], { LOCKSTEP_TOKEN: token }).ended;
    const versions = new RegExp(`version ${protocolVersion + 1}.*version ${protocolVersion}`);
    await expectRefusal({ ...ended }, 1, versions);
  } finally {
    await listener.close();
  }
});

/** sha256 by path of every file below a folder; of a run folder without its lock, which counts every start. */
async function contentOf(folder: string): Promise<Record<string, string>> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = found
    .filter((entry) => entry.isFile() && !entry.name.startsWith('lock-'))
    .map((entry) => join(entry.parentPath, entry.name));
  const hash = async (file: string) =>
    [
      file,
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex'),
    ] as const;
  return Object.fromEntries(await Promise.all(files.map(hash)));
}
