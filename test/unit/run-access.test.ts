import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { readRunAccess, writeRunAccess } from '../../cli/run-access.js';

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-test-'));
  made.push(folder);
  return folder;
}

const first = { url: 'ws+unix:/tmp/lockstep-a/coordinator.sock', token: 'a'.repeat(64) };
const second = { url: 'ws+unix:/tmp/lockstep-b/coordinator.sock', token: 'b'.repeat(64) };

it('a run takes away what it wrote about itself', async () => {
  const folder = newFolder();
  const takeAway = await writeRunAccess(folder, first);
  expect(await readRunAccess(folder)).toEqual(first);
  takeAway();
  expect(existsSync(join(folder, 'live.json'))).toBe(false);
  takeAway();
});

it('a run that has lost its folder leaves what the next one wrote about itself', async () => {
  const folder = newFolder();
  const takeAway = await writeRunAccess(folder, first);
  const takeOtherAway = await writeRunAccess(folder, second);
  takeAway();
  expect(await readRunAccess(folder)).toEqual(second);
  takeOtherAway();
  expect(existsSync(join(folder, 'live.json'))).toBe(false);
});
