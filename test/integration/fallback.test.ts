import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

const job = [fixtureJob('uncompilable'), '--shards', '4', '--seed', '7'];
// Whatever else the machine has.
const withoutTensorflow = { LOCKSTEP_TFJS_NODE: '/nowhere' };

describe('a job whose model has a kernel without a mapping', () => {
  let run: TestRun;
  let trained: Trained;
  beforeAll(async () => {
    run = await TestRun.begin();
    const saved = ['--checkpoint-dir', run.at('run'), '--epochs', '1'];
    trained = await run.train([...job, ...saved, '--workers', '3'], withoutTensorflow);
  });
  afterAll(() => run.end());

  const start = (...args: string[]) => run.start(['train', ...job, ...args], withoutTensorflow).ended;

  it('trains, op by op, and says in one line which kernel of which layer is why', async () => {
    expect(trained.exitCode).toBe(0);
    expect(trained.report.fingerprint).toMatchObject({ backend: 'wasm', program: 'eager' });
    expect(trained.entries.flatMap(({ event, message }) => (event === 'warning' ? [message] : []))).toEqual([
      'the model is not compiled but computed op by op on wasm: the kernel MirrorPad has no mapping (layer mirror)',
    ]);
    const asked = await run.train([...job, '--epochs', '1', '--workers', '1', '--backend', 'wasm']);
    expect(bitsOf(trained)).toEqual(bitsOf(asked));
  });

  it('goes on as it began when it is resumed, and refuses to go on compiled', async () => {
    const resumed = ['--checkpoint-dir', run.at('run'), '--resume'];
    const refused = await start(...resumed, '--backend', 'onnx');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(/^error: the run computes on wasm, not onnx\n {2}Leave --backend out/);
    const whole = await run.train([...job, '--workers', '1', '--backend', 'wasm']);
    const rest = await run.train([...job, ...resumed, '--workers', '2'], withoutTensorflow);
    expect(bitsOf(rest)).toMatchObject({ stateSha256: whole.report.stateSha256, steps: whole.report.steps });
  });

  it('is refused where it is to be compiled, with exit code 2', async () => {
    const { exitCode, stderr } = await start('--backend', 'onnx', '--workers', '1');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(
      /^error: .*cannot be compiled: the kernel MirrorPad has no mapping \(layer mirror\)\n {2}.*--backend wasm/,
    );
  });
});
