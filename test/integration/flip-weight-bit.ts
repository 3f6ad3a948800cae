import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

/** Changes one bit of the weights in a checkpoint; and what notices that, if asked. */
export async function flipWeightBit(
  checkpoint: string,
  { andItsChecksums }: { andItsChecksums: boolean },
): Promise<void> {
  const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
  const at = (name: string) => join(checkpoint, name);
  const weights = await readFile(at('weights.bin'));
  const before = sha256(weights);
  weights[1] ^= 0x10;
  await writeFile(at('weights.bin'), weights);
  if (!andItsChecksums) return;
  const listed = await readFile(at('run.json'), 'utf8');
  expect(listed).toContain(before);
  const corrected = listed.replace(before, sha256(weights));
  await writeFile(at('run.json'), corrected);
  await writeFile(at('run.json.sha256'), `${sha256(corrected)}  run.json\n`);
}
