import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCampaignFolder } from '../../chaos/campaign-folder.js';
import { sweepSocketFolders } from '../../coordinator/server/abandoned-sockets.js';

// Short, as the paths of sockets are bounded.
let root: string;
const servers: Server[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ls-'));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(root, { recursive: true, force: true });
});

const longAgo = new Date(Date.now() - 3_600_000);

/** Sockets that a process left when it was killed: nobody listens on them any more. */
function killedWith(...sockets: string[]): void {
  const listen = sockets.map((path) => `createServer().listen(${JSON.stringify(path)})`).join(';');
  const { signal } = spawnSync(process.execPath, [
    ...['--input-type=module', '-e'],
    `import { createServer } from 'node:net'; ${listen}; setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50);`,
  ]);
  expect(signal).toBe('SIGKILL');
}

function folder(name: string, ...files: string[]): string {
  const path = join(root, name);
  mkdirSync(path, { mode: 0o700 });
  for (const file of files) writeFileSync(join(path, file), '');
  return path;
}

describe('the socket folders of runs that were killed with all their workers', () => {
  it('are removed by the next run, those of proxies under a fault plan included', async () => {
    const abandoned = folder('lockstep-aaaaaa');
    killedWith(join(abandoned, 'coordinator.sock'), join(abandoned, '123.sock'));
    expect(readdirSync(abandoned).sort()).toEqual(['123.sock', 'coordinator.sock']);
    const empty = folder('lockstep-bbbbbb');
    for (const path of [abandoned, empty]) utimesSync(path, longAgo, longAgo);
    expect((await sweepSocketFolders(root)).sort()).toEqual([abandoned, empty]);
    expect(readdirSync(root)).toEqual([]);
  });

  it('are left alone while somebody listens, while they are young, and if anything else is in them', async () => {
    const used = folder('lockstep-aaaaaa');
    const server = createServer().listen(join(used, 'coordinator.sock'));
    servers.push(server);
    await new Promise((resolve) => server.once('listening', resolve));
    const young = folder('lockstep-bbbbbb', 'coordinator.sock');
    const mine = folder('lockstep-cccccc', 'coordinator.sock', 'notes.txt');
    const others = folder('other-aaaaaa', 'coordinator.sock');
    const shared = join(root, 'lockstep-dddddd');
    mkdirSync(shared, { mode: 0o755 });
    for (const path of [used, mine, others, shared]) utimesSync(path, longAgo, longAgo);
    expect(await sweepSocketFolders(root)).toEqual([]);
    expect(readdirSync(root)).toHaveLength(5);
    expect(readdirSync(mine)).toHaveLength(2);
    expect(readdirSync(young)).toHaveLength(1);
  });

  it('cost nothing where the folder of temporary files is not there', async () => {
    expect(await sweepSocketFolders(join(root, 'nowhere'))).toEqual([]);
  });
});

it('a campaign removes the folders of campaigns that were killed, and of no other', async () => {
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const abandoned = folder('lockstep-chaos-aaaaaa');
  writeFileSync(join(abandoned, 'owner'), String(gone));
  mkdirSync(join(abandoned, 'seed-1'));
  const running = folder('lockstep-chaos-bbbbbb');
  writeFileSync(join(running, 'owner'), String(process.pid));
  const unknown = folder('lockstep-chaos-cccccc');
  const made = await makeCampaignFolder(root);
  expect(
    readdirSync(root)
      .map((name) => join(root, name))
      .sort(),
  ).toEqual([running, unknown, made].sort());
  expect(await makeCampaignFolder(root)).not.toBe(made);
  expect(readdirSync(made)).toEqual(['owner']);
});
