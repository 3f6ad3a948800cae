import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

interface Printed {
  readonly digests: readonly string[];
  readonly threads: number;
  readonly mebibytes: readonly number[];
}

async function child(threads: number, programs = 0): Promise<Printed> {
  const program = fileURLToPath(new URL('session-bits.child.ts', import.meta.url));
  const args = ['--import', 'tsx', program, String(threads), String(programs)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

describe('the sessions of compiled steps', () => {
  it.each([1, 2, 3])('give the same bits each time and in each process, on %i threads', async (threads) => {
    const [one, other] = await Promise.all([child(threads), child(threads)]);
    expect(one.threads).toBe(threads);
    expect(new Set([...one.digests, ...other.digests]).size).toBe(1);
  });

  it('are let go of with their program', async () => {
    const { mebibytes } = await child(1, 24);
    // One session holds more than 10 MiB, so that 18 that stayed would be seen.
    expect(mebibytes[23] - mebibytes[5]).toBeLessThan(100);
  });
});
