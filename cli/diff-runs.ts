import { stat } from 'node:fs/promises';
import { type Comparison, compareReceipts, type Lines } from '../coordinator/receipts/compare.js';
import { describeDifference } from '../coordinator/receipts/describe.js';
import { readReceipts } from '../coordinator/receipts/read-receipts.js';
import { receiptsPath } from '../coordinator/receipts/receipts.js';
import { LockstepError } from '../shared/errors.js';
import { plural } from './format.js';

/**
 * `lockstep diff-runs`: says where two runs part.
 * @param a a run folder, or the file of receipts in one
 * @param write gets one line at a time
 * @returns 0 if the two took the same bits as far as both go, 1 if not
 * @throws LockstepError RECEIPTS_INVALID
 */
export async function diffRuns(a: string, b: string, write: (line: string) => void): Promise<0 | 1> {
  const [one, other] = await Promise.all([receiptsOf(a), receiptsOf(b)]);
  const comparison = await compareReceipts(intact(one), intact(other));
  for (const line of remarksOn(comparison, a, b)) write(line);
  if (comparison.difference !== null) {
    const { what, hint } = describeDifference(comparison.difference, a, b);
    write(what);
    write(`  ${hint}`);
    return 1;
  }
  const { steps, last } = comparison;
  if (steps === 0) {
    throw new LockstepError('RECEIPTS_INVALID', `${a} and ${b} have no step in common`, {
      hint: `One ends after step ${last[0]}, the other after step ${last[1]}; compare runs that share some.`,
    });
  }
  write(`same bits over ${plural(steps, 'step')}`);
  if (last[0] !== last[1]) {
    const [longer, shorter] = last[0] > last[1] ? [a, b] : [b, a];
    write(
      `  ${shorter} ends after step ${Math.min(...last)}, ${longer} goes on to step ${Math.max(...last)}`,
    );
  }
  return 0;
}

/** What helps to understand the verdict. */
function remarksOn({ headers, difference }: Comparison, a: string, b: string): string[] {
  const [one, other] = headers;
  const remarks: string[] = [];
  for (const [header, name] of [
    [one, a],
    [other, b],
  ] as const) {
    if (header.step > 0) remarks.push(`${name} has receipts from step ${header.step + 1} on`);
  }
  if (difference === null || one.backend === other.backend) return remarks;
  const backends = `${a} was computed on ${one.backend}, ${b} on ${other.backend}`;
  return [...remarks, `${backends}: bits are promised for one backend`];
}

async function receiptsOf(path: string): Promise<string> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? receiptsPath(path) : path;
}

/** @throws LockstepError RECEIPTS_INVALID if a line does not follow from the one before */
async function* intact(path: string): Lines {
  for await (const { line, isLinked } of readReceipts(path)) {
    if (isLinked) {
      yield line;
      continue;
    }
    throw new LockstepError(
      'RECEIPTS_INVALID',
      `${path} was changed at step ${line.step}: its chain is broken`,
      {
        hint: 'Compare the file as Lockstep wrote it, or train again.',
      },
    );
  }
}
