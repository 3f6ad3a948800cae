import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const tests = readdirSync(join(root, 'test'), { recursive: true })
  .map((name) => `test/${String(name)}`)
  .filter((path) => path.endsWith('.test.ts'));

/** Tests that a page names, as `name.test.ts` with or without its folder, each with the title quoted after it. */
function namedIn(page: string): { name: string; title: string | null }[] {
  const text = readFileSync(join(root, 'docs', page), 'utf8');
  const found = text.matchAll(/`([\w/-]+\.test\.ts)`(?:, "([^"]+)")?/g);
  return [...found].map(([, name, title]) => ({ name, title: title ?? null }));
}

/** A name without a folder is of test/integration on the page that says so; else it was named in full, or is the only one. */
function pathsOf(name: string, page: string, named: readonly string[]): string[] {
  if (name.includes('/')) return tests.filter((path) => path === name);
  const inFull = named.filter((other) => other.endsWith(`/${name}`));
  const found = tests.filter((path) => path.endsWith(`/${name}`));
  if (page === 'faults.md') return found.filter((path) => path.startsWith('test/integration/'));
  return inFull.length === 0 ? found : found.filter((path) => inFull.includes(path));
}

describe.each(['faults.md', 'security.md'])('docs/%s', (page) => {
  const named = namedIn(page);
  const names = named.map(({ name }) => name);

  it('names tests that are there', () => {
    expect(named.length).toBeGreaterThan(10);
    expect(names.filter((name) => pathsOf(name, page, names).length !== 1)).toEqual([]);
  });

  it('quotes titles that the tests have', () => {
    const missing = named.filter(({ name, title }) => {
      const [path] = pathsOf(name, page, names);
      return title !== null && !readFileSync(join(root, path), 'utf8').includes(title);
    });
    expect(missing).toEqual([]);
  });

  it('has a test beside every row of its tables', () => {
    const text = readFileSync(join(root, 'docs', page), 'utf8');
    const rows = text.split('\n').filter((line) => /^\| (?!fault|tries)/.test(line));
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter((line) => !line.includes('.test.ts'))).toEqual([]);
  });
});
