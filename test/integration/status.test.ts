import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runStatus } from '../../shared/protocol/observing.js';
import { RawPeer } from './raw-peer.js';
import { RecordingRelay } from './recording-relay.js';
import { fixtureJob, TestRun } from './test-run.js';

const job = [fixtureJob('cnn'), '--shards', '4', '--seed', '7', '--backend', 'cpu'];
const tiny = { LOCKSTEP_TEST_SIZE: 'tiny' };

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

it('tells by URL who is waited for, and an observer can do nothing else', async () => {
  const coordinator = await run.startCoordinator(job, 1, tiny);
  const { relay, url } = await RecordingRelay.to(coordinator.url);
  run.startWorker({ url, token: coordinator.token });
  await coordinator.process.entry(({ event }) => event === 'step');
  relay.hold();
  const token = (await readFile(coordinator.token, 'utf8')).trim();
  const ask = (...options: string[]) =>
    run.start(['status', coordinator.url, '--token-file', coordinator.token, ...options]).ended;

  await expect
    .poll(async () => runStatus.parse(JSON.parse((await ask('--json')).stdout)).waitingFor, {
      timeout: 20_000,
    })
    .toMatch(/^waiting for worker 0: /);
  const { exitCode, stdout } = await ask();
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^(step|batch of the evaluation) \d+: \d of 4 shards done, for \S+ m?s\n/);
  expect(stdout).toMatch(/shard \d: held by worker 0 for /);
  expect(stdout).toMatch(/worker +host +pid +compute +network +idle +shards/);
  const refused = await run.start(['status', coordinator.url], {
    LOCKSTEP_TOKEN: 'not the token of this run',
  }).ended;
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toMatch(/^error: .+token\n {2}\S.+\n$/);

  // Whatever else an observer says ends its connection, and it is no member of the run.
  const worker = await RawPeer.authenticated(coordinator.url, token, 'observer');
  worker.say({ type: 'goodbye', reason: 'x', worker: 0 });
  expect(await worker.closed).toBe('invalid_message');
  const partial = await RawPeer.authenticated(coordinator.url, token, 'observer');
  partial.say({ type: 'heartbeat', state: { phase: 'idle' } });
  expect(await partial.closed).toBe('invalid_message');
  const eager = await RawPeer.authenticated(coordinator.url, token, 'observer');
  for (let i = 0; i < 100; i++) eager.say({ type: 'status' });
  expect(await eager.closed).toBe('too_many_messages');
  expect(eager.heard.length).toBeLessThanOrEqual(10);
  expect(eager.heard.every(({ type }) => type === 'status')).toBe(true);

  relay.release();
  const { exitCode: end, report } = await coordinator.trained;
  expect(end).toBe(0);
  expect(report.workers).toHaveLength(1);
  relay.end();
});

it('tells by folder, to this user alone, while a local run goes on', async () => {
  const folder = run.at('saved');
  const environment = { ...tiny, LOCKSTEP_TEST_HOLD: '3' };
  const training = run.startTraining(['train', ...job, '--checkpoint-dir', folder], environment);
  await training.process.entry(({ message }) => message === 'holding after step 3');
  expect(statSync(join(folder, 'live.json')).mode & 0o777).toBe(0o600);
  const { exitCode, stdout } = await run.start(['status', folder]).ended;
  expect(exitCode).toBe(0);
  expect(stdout).toContain('between steps\n');
  training.process.kill('SIGINT');
  await training.trained;
  expect(existsSync(join(folder, 'live.json'))).toBe(false);
  const over = await run.start(['status', folder]).ended;
  expect(over.exitCode).toBe(2);
  expect(over.stderr).toMatch(/^error: no run goes on in .+\n {2}Give the --checkpoint-dir/);
});
