import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StepFolder, stepFolder } from '../../worker/compute/compiled/step-folder.js';
import { sha256Of } from '../../worker/compute/compiled/step-key.js';

const nameOf = (text: string | number) => sha256Of(String(text));
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const modeOf = (path: string) => lstatSync(path).mode & 0o777;

describe('the folder of kept steps', () => {
  let base: string;
  let folder: StepFolder;
  const at = (name: string) => join(folder.path, name);
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'lockstep-steps-'));
    folder = new StepFolder(join(base, 'a', 'steps'));
  });
  afterEach(() => rmSync(base, { recursive: true }));

  it('gives back what was written, to its user alone, and leaves no draft', () => {
    const name = nameOf('step');
    expect(folder.read(name)).toBe(null);
    for (const text of ['first', 'second']) {
      folder.write(name, bytesOf(text));
      expect(Buffer.from(folder.read(name) ?? []).toString()).toBe(text);
    }
    expect(readdirSync(folder.path)).toEqual([name]);
    expect([modeOf(folder.path), modeOf(at(name))]).toEqual([0o700, 0o600]);
  });

  it('reads nothing that others could have written, and writes nothing where they can', () => {
    const name = nameOf('step');
    folder.write(name, bytesOf('mine'));
    for (const mode of [0o620, 0o602]) {
      chmodSync(at(name), mode);
      expect(() => folder.read(name)).toThrow('other users can write');
    }
    chmodSync(at(name), 0o644);
    expect(folder.read(name)).not.toBe(null);
    const user = vi.spyOn(process as { getuid: () => number }, 'getuid').mockReturnValue(4_242);
    expect(() => folder.read(name)).toThrow('other users can write');
    expect(() => folder.write(name, bytesOf('more'))).toThrow('other users can write');
    user.mockRestore();
    chmodSync(folder.path, 0o777);
    expect(() => folder.read(name)).toThrow('other users can write');
    expect(() => folder.write(name, bytesOf('more'))).toThrow('other users can write');
  });

  it('follows no link and reads no folder', () => {
    folder.write(nameOf('real'), bytesOf('real'));
    symlinkSync(at(nameOf('real')), at(nameOf('link')));
    expect(() => folder.read(nameOf('link'))).toThrow('ELOOP');
    mkdirSync(at(nameOf('folder')), { mode: 0o700 });
    expect(() => folder.read(nameOf('folder'))).toThrow('no file of ours');
    const other = new StepFolder(join(base, 'link'));
    symlinkSync(folder.path, other.path);
    expect(() => other.write(nameOf('step'), bytesOf('step'))).toThrow();
  });

  it.each([
    ['bytes', { bytes: 40, files: 100 }],
    ['files', { bytes: 1_000, files: 4 }],
  ])('lets go of what was used longest ago once it has too many %s, and of nothing else', (_what, limits) => {
    const small = new StepFolder(folder.path, limits);
    const minutesAgo = (name: string, minutes: number) => {
      const atMs = Date.now() - minutes * 60_000;
      utimesSync(at(name), atMs / 1_000, atMs / 1_000);
    };
    for (const i of [1, 2, 3, 4]) {
      small.write(nameOf(i), bytesOf('ten bytes.'));
      minutesAgo(nameOf(i), 10 - i);
    }
    const draft = `${nameOf(1)}.123e4567-e89b-12d3-a456-426614174000`;
    writeFileSync(at('notes.txt'), 'not of ours, and old');
    minutesAgo('notes.txt', 100);
    small.read(nameOf(1));
    small.write(nameOf(5), bytesOf('ten bytes.'));
    expect(readdirSync(folder.path).sort()).toEqual(['notes.txt', ...[1, 3, 4, 5].map(nameOf)].sort());
    writeFileSync(at(draft), 'cut short.');
    minutesAgo(draft, 90);
    small.write(nameOf(6), bytesOf('ten bytes.'));
    expect(existsSync(at(draft))).toBe(false);
    expect(readdirSync(folder.path)).toHaveLength(5);
  });

  it('is where the environment says', () => {
    const pathIn = (environment: NodeJS.ProcessEnv) => stepFolder(environment)?.path ?? null;
    expect(pathIn({ LOCKSTEP_CACHE_DIR: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a/steps');
    expect(pathIn({ LOCKSTEP_CACHE_DIR: '', XDG_CACHE_HOME: '/b' })).toBe('/b/lockstep/steps');
    expect(pathIn({ XDG_CACHE_HOME: 'relative' })).toBe(join(homedir(), '.cache/lockstep/steps'));
    expect(pathIn({ LOCKSTEP_CACHE_DIR: 'off', XDG_CACHE_HOME: '/b' })).toBe(null);
    expect(stepFolder()).toBe(null);
  });
});
