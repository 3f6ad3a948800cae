import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadBackend } from '../../worker/backend/select.js';
import { prepareTensorflow, tensorflowSupported } from '../fixtures/tensorflow.mjs';
import { gradientsOfSmallNet } from './small-net-gradient.js';

const child = fileURLToPath(new URL('./tensorflow-gradient.child.ts', import.meta.url));

interface Computed {
  readonly backend: string;
  readonly runs: readonly string[][];
  /** What it says when it is asked for another number of threads. */
  readonly refusal: string;
}

/** What a process of its own computes on real TensorFlow with that many threads. */
async function computeIn(folder: string, threads: number, ...more: string[]): Promise<Computed> {
  const env = { ...process.env, LOCKSTEP_TFJS_NODE: folder };
  const args = ['--import', 'tsx', child, String(threads), ...more];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout) as Computed;
}

function float32Of(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer);
}

describe.runIf(tensorflowSupported)('real TensorFlow', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await prepareTensorflow();
  });

  it('computes the same bits every time, in every process, for one number of threads', async () => {
    const first = await computeIn(folder, 1);
    const second = await computeIn(folder, 1);
    expect(first.backend).toBe('tensorflow');
    for (const run of [...first.runs, ...second.runs]) expect(run).toEqual(first.runs[0]);
  });

  it('computes where Node no longer has the functions that tfjs-node calls', async () => {
    const [now, later] = [await computeIn(folder, 1), await computeIn(folder, 1, 'as-node-23')];
    expect(later.runs).toEqual(now.runs);
  });

  it('refuses another number of threads than the process has started with', async () => {
    const { refusal } = await computeIn(folder, 1);
    expect(refusal).toBe('TensorFlow has 1 compute thread(s) in this process, not 2');
  });

  it('agrees with the cpu backend', async () => {
    const { runs } = await computeIn(folder, 1);
    await loadBackend({ backend: 'cpu', threads: 1 });
    const expected = gradientsOfSmallNet().map(float32Of);
    runs[0].map(float32Of).forEach((actual, index) => {
      expect(actual.length).toBe(expected[index].length);
      const largest = Math.max(...expected[index].map(Math.abs));
      expect(largest).toBeGreaterThan(1e-4);
      actual.forEach((value, i) => {
        expect(Math.abs(value - expected[index][i]) / largest).toBeLessThan(1e-5);
      });
    });
  });
});
