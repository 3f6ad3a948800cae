import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../shared/errors.js';

const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');

/** Sections by their heading: the code. */
const sections = new Map(
  text
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const [heading, ...body] = section.split('\n');
      return [heading.trim(), body.join('\n')] as const;
    }),
);

describe('docs/errors.md', () => {
  it('describes every code, and no other', () => {
    expect([...sections.keys()].toSorted()).toEqual(Object.keys(errorCodes).toSorted());
  });

  it.each(Object.entries(errorCodes))(
    'says of %s its exit code, its cause and what to do',
    (code, exitCode) => {
      const section = sections.get(code) ?? '';
      expect(section).toMatch(new RegExp(`^\\s*Exit code ${exitCode}\\. \\S.{20,}`));
      expect(section).toMatch(/^- \*\*Cause:\*\* \S.{20,}/m);
      expect(section).toMatch(/^- \*\*Do:\*\* \S.{15,}/m);
    },
  );
});
