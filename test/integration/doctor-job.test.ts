import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtureJob, TestRun } from './test-run.js';

const withoutTensorflow = { LOCKSTEP_TFJS_NODE: '/nowhere' };

describe('lockstep doctor JOB', () => {
  let run: TestRun;
  beforeAll(async () => {
    run = await TestRun.begin();
  });
  afterAll(() => run.end());

  const doctor = (job: string) => run.start(['doctor', fixtureJob(job)], withoutTensorflow).ended;

  it('shows what compiling costs, how long a shard takes, and what auto takes', async () => {
    const { exitCode, stdout } = await doctor('cnn');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^onnx:cpu +[\d.]+ m?s +compiled into \d+ operators: trace [\d.]+ m?s, emit [\d.]+ m?s, session [\d.]+ m?s$/m,
    );
    expect(stdout).toMatch(/^wasm +[\d.]+ m?s +op by op$/m);
    expect(stdout).toMatch(/^--backend auto compiles it and takes onnx:cpu, [\d.]+ × as fast as wasm\.$/m);
  });

  it('names the kernel and the layer that stop it, and the backend that computes it all the same', async () => {
    const { exitCode, stdout } = await doctor('uncompilable');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^onnx:cpu +- +the kernel MirrorPad has no mapping \(layer mirror\)$/m);
    expect(stdout).toContain('--backend auto computes it op by op on wasm.\n');
  });

  it('refuses a job that does not exist with exit code 2', async () => {
    const { exitCode, stderr } = await run.start(['doctor', run.at('no.ts')]).ended;
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: the job file .* does not exist\n {2}/);
  });
});
