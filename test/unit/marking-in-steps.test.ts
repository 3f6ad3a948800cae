import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

/** What V8 says of its collections while a program makes and drops memory outside its heap. */
function collections(before: string): string {
  const program = `
    import { withoutMarkingInSteps } from './shared/marking-in-steps.ts';
    ${before}
    const heap = Array.from({ length: 300_000 }, (_, i) => ({ i }));
    for (let i = 0; i < 4_000; i++) { new ArrayBuffer(65_536); if (i % 50 === 0) await new Promise(setImmediate); }
    if (heap.length === 0) process.exit(1);
  `;
  return execFileSync(
    process.execPath,
    ['--trace-gc', '--import', 'tsx', '--input-type=module', '-e', program],
    {
      encoding: 'utf8',
    },
  );
}

describe('withoutMarkingInSteps', () => {
  it('makes collections of memory outside the heap one piece, until all who asked are done', {
    timeout: 30_000,
  }, () => {
    const inSteps = /in [1-9]\d* steps since start of marking/;
    expect(collections('')).toMatch(inSteps);
    expect(collections('withoutMarkingInSteps();')).not.toMatch(inSteps);
    const twoOfWhichOneEnds = 'const end = withoutMarkingInSteps(); withoutMarkingInSteps(); end(); end();';
    expect(collections(twoOfWhichOneEnds)).not.toMatch(inSteps);
    expect(collections('withoutMarkingInSteps()();')).toMatch(inSteps);
  });
});
