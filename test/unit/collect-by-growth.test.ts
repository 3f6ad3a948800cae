import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

/** The full collections of a program that keeps 1 MB after another and drops it when it is old. */
function fullCollections(before: string): number {
  const program = `
    import { collectByGrowth } from './shared/collect-by-growth.ts';
    ${before}
    const kept = [];
    for (let i = 0; i < 100; i++) {
      kept[i % 10] = Array.from({ length: 20_000 }, (_, j) => ({ j }));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  `;
  const trace = execFileSync(
    process.execPath,
    ['--trace-gc', '--no-incremental-marking', '--import', 'tsx', '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  return trace.match(/Mark-Compact/g)?.length ?? 0;
}

describe('collectByGrowth', () => {
  it('collects what V8 would let gather, only when the heap has grown, and ends with its owner', {
    timeout: 30_000,
  }, () => {
    const left = fullCollections('');
    const collected = fullCollections('collectByGrowth(20);');
    // A collection at the first look, and one per 8 MB or more of growth; not one per look.
    expect(collected).toBeGreaterThanOrEqual(left + 2);
    expect(collected).toBeLessThan(25);
    expect(fullCollections('collectByGrowth(20)();')).toBeLessThan(left + 2);
  });
});
