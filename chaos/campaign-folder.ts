import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Short: the sockets of its runs lie below it, and their paths are bounded. */
const prefix = 'lockstep-chaos-';
const ownerName = 'owner';

/**
 * Makes the folder of a campaign, which keeps everything temporary of all its runs, sockets included; its owner removes
 * it. The folders of campaigns of this user that were killed are removed first.
 */
export async function makeCampaignFolder(root = tmpdir()): Promise<string> {
  await sweep(root);
  const folder = await mkdtemp(join(root, prefix));
  await writeFile(join(folder, ownerName), String(process.pid));
  return folder;
}

async function sweep(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(root, name);
    if (await isAbandoned(folder).catch(() => false)) {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  const stats = await lstat(folder);
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) return false;
  const owner = Number(await readFile(join(folder, ownerName), 'utf8'));
  return Number.isInteger(owner) && owner > 1 && !isRunning(owner);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
