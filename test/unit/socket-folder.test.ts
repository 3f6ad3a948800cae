import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { removeSocketOf } from '../../worker/socket-folder.js';

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folderWith(prefix: string, ...files: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  made.push(folder);
  for (const file of files) writeFileSync(join(folder, file), '');
  return folder;
}

it('a worker removes the sockets of a coordinator that died, with their folder', () => {
  const folder = folderWith('lockstep-', 'coordinator.sock', '123.sock');
  removeSocketOf(`ws+unix:${folder}/123.sock`);
  expect(existsSync(folder)).toBe(false);
  // Another worker was faster.
  removeSocketOf(`ws+unix:${folder}/coordinator.sock`);
});

it('a worker removes nothing that a local cluster did not make', () => {
  const mine = folderWith('lockstep-', 'coordinator.sock', 'notes.txt');
  removeSocketOf(`ws+unix:${mine}/coordinator.sock`);
  expect(existsSync(join(mine, 'notes.txt'))).toBe(true);
  const other = folderWith('other-', 'coordinator.sock');
  const nested = join(folderWith('lockstep-'), 'lockstep-abcdef');
  mkdirSync(nested);
  writeFileSync(join(nested, 'coordinator.sock'), '');
  for (const folder of [other, nested]) {
    removeSocketOf(`ws+unix:${folder}/coordinator.sock`);
    expect(existsSync(join(folder, 'coordinator.sock'))).toBe(true);
  }
  for (const url of ['ws://127.0.0.1:7070', 'ws+unix:', 'ws+unix:/coordinator.sock']) removeSocketOf(url);
});
