import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createToken, readToken } from '../../shared/token.js';

describe('a token', () => {
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);

  it('is new each time, and long', () => {
    expect(createToken()).not.toBe(createToken());
    expect(createToken()).toHaveLength(43);
  });

  it('comes from its file, else from the environment', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'token-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'token');
    writeFileSync(file, 'from the file, 16 and more\n', { mode: 0o644 });
    const environment = { LOCKSTEP_TOKEN: 'from the environment, 16 and more' };
    expect(await readToken({ file, environment, warn })).toBe('from the file, 16 and more');
    expect(warnings).toEqual([`every user of this machine can read ${file}; chmod 600 it`]);
    expect(await readToken({ environment, warn })).toBe('from the environment, 16 and more');
  });

  it.each([
    ['is nowhere', { environment: {} }],
    ['is short', { environment: { LOCKSTEP_TOKEN: '123456789012345' } }],
    ['is in a file that is not there', { file: '/nowhere/token', environment: {} }],
  ])('fails with BAD_OPTION when it %s', async (_, source) => {
    await expect(readToken({ ...source, warn })).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});
