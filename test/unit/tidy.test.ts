import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../shared/errors.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What each part may import, itself included. Coordinator and worker meet only where the program starts. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  shared: ['shared'],
  worker: ['worker', 'shared'],
  chaos: ['chaos', 'shared'],
  coordinator: ['coordinator', 'chaos', 'shared'],
  cli: ['cli', 'coordinator', 'worker', 'chaos', 'shared'],
  'index.ts': ['coordinator', 'worker', 'chaos', 'shared'],
};

function filesOf(part: string): string[] {
  const path = join(root, part);
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [part];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:ts|mjs)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

const parts = Object.keys(mayImport);
const source = parts.flatMap(filesOf);
const all = [...source, ...['bench', 'deploy', 'examples', 'test'].flatMap(filesOf)];
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The files, as paths from the root, that a file imports, statically or not. */
function importsOf(file: string): string[] {
  const specifiers = textOf(file).matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(\.[^']*)'/g);
  return [...specifiers].map(([, specifier]) => normalize(join(file, '..', specifier)));
}

describe('the source', () => {
  it('is found by these tests', () => {
    for (const part of ['shared', 'worker', 'chaos', 'coordinator', 'cli']) {
      expect(source.some((file) => file.startsWith(`${part}/`))).toBe(true);
    }
    expect(importsOf('coordinator/load-job.ts')).toContain('shared/job-file.js');
    expect(importsOf('cli/main.ts')).toContain('cli/train.js');
  });

  it('imports one way: shared ← worker, shared ← chaos ← coordinator, all ← cli', () => {
    const partOf = (file: string): string => file.split('/')[0];
    const wrong = source.flatMap((file) =>
      importsOf(file)
        .filter((imported) => !mayImport[partOf(file)].includes(partOf(imported)))
        .map((imported) => `${file} imports ${imported}`),
    );
    expect(wrong).toEqual([]);
  });

  it('has no file of 300 lines or more', () => {
    const long = [...source, ...filesOf('bench'), ...filesOf('examples')].filter(
      (file) => textOf(file).trimEnd().split('\n').length >= 300,
    );
    expect(long).toEqual([]);
  });

  it('throws no bare Error: every failure has a code and a hint, or is an invariant', () => {
    expect(source.filter((file) => /\bnew Error\(/.test(textOf(file)))).toEqual([]);
  });

  it('names every file after the one thing it holds', () => {
    const vague = /(?:^|[-./])(?:utils?|helpers?|misc|common|managers?)(?=[-./])/;
    expect(all.filter((file) => vague.test(file.slice(file.lastIndexOf('/') + 1)))).toEqual([]);
  });

  it('uses every error code that it defines', () => {
    const texts = source.filter((file) => file !== 'shared/errors.ts').map(textOf);
    const orphans = Object.keys(errorCodes).filter(
      (code) => !texts.some((text) => text.includes(`'${code}'`)),
    );
    expect(orphans).toEqual([]);
  });
});

describe('the tests', () => {
  it('all run: none is singled out, skipped or postponed', () => {
    const marked = /\b(?:it|test|describe|suite|bench)\.(?:only|skip|todo|fails)\b/;
    expect(filesOf('test').filter((file) => marked.test(textOf(file)))).toEqual([]);
  });

  it('are each part of a project that vitest runs', () => {
    const tests = all.filter((file) => file.endsWith('.test.ts'));
    const known = /^test\/(?:unit|contract|simulation|integration)\//;
    expect(tests.filter((file) => !known.test(file))).toEqual([]);
  });
});
