import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import { errnoOf, nodeDisk } from './disk.js';
import { unwritable } from './unwritable.js';

/** The right to run in a folder. */
export interface RunLock {
  /** Larger than that of every coordinator that held the folder before. */
  readonly term: number;
  /** The run whose checkpoints the folder holds, as the owners so far have noted it; null if none has. */
  readonly runId: string | null;
  /** Notes whose checkpoints the folder holds from now on. @throws what `verify` does */
  nameRun(runId: string): Promise<void>;
  /**
   * Whether the folder is still this process's: another coordinator may have been let in while this one was
   * stopped. To be asked before anything in the folder changes for others to see.
   * @throws LockstepError RUN_LOCKED if it is another's now; CHECKPOINT_UNWRITABLE
   */
  verify(): Promise<void>;
  /** Lets the next coordinator in; the term stays on record. Does nothing if another was let in already. */
  release(): Promise<void>;
}

const ownerSchema = z.strictObject({
  pid: z.int(),
  host: z.string(),
  /** Which process had that pid, where the system can tell: pids are used again. */
  process: z.string().nullable(),
  /** The run that the folder belongs to; null before its first checkpoint. */
  run: z.string().nullable().default(null),
  released: z.boolean(),
});
type Owner = z.infer<typeof ownerSchema>;

const namePattern = /^lock-(\d{6,})\.json$/;
const temporaryPrefix = '.lock-';

/*
 * The lock of term t is the file `lock-t.json`. It is made complete, by a hard link that fails if the name is
 * taken, and never reused: the next owner makes the file of term t + 1, once the owner of t is dead or has
 * released. So two coordinators that find a dead owner at the same time cannot both take its place: one of them
 * makes the file. Only an owner removes files of earlier terms; one that comes so late that its term was removed
 * meanwhile sees a higher term after making its own, and withdraws.
 */

/**
 * Takes the run folder for this process, making it if needed. The lock of a dead process is taken over.
 * @throws LockstepError RUN_LOCKED naming the owner's pid; CHECKPOINT_UNWRITABLE
 */
export async function lockRun(directory: string): Promise<RunLock> {
  const temporary = join(directory, `${temporaryPrefix}${randomUUID()}`);
  const pid = process.pid;
  const identity = { pid, host: hostname(), process: await processIdentity(pid), released: false };
  try {
    await mkdir(directory, { recursive: true });
    const last = Math.max(0, ...(await terms(directory)));
    const previous = last === 0 ? null : await refuseIfHeld(directory, last);
    const term = last + 1;
    const self: Owner = { ...identity, run: previous?.run ?? null };
    await writeOwner(temporary, self);
    await claimTerm(directory, term, temporary);
    for (const name of await readdir(directory)) {
      const older = Number(namePattern.exec(name)?.[1] ?? term) < term;
      if (older || name.startsWith(temporaryPrefix)) await rm(join(directory, name), { force: true });
    }
    await nodeDisk.sync(directory);
    return heldLock(directory, term, self);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw unwritable(directory, error);
  }
}

/**
 * Makes the lock file of `term` out of the file `complete`, unless another coordinator was faster.
 * @throws LockstepError RUN_LOCKED
 */
export async function claimTerm(directory: string, term: number, complete: string): Promise<void> {
  const path = lockPath(directory, term);
  try {
    await link(complete, path);
  } catch (error) {
    // EEXIST: another was faster. ENOENT: another has the lock already and cleaned up.
    if (errnoOf(error) !== 'EEXIST' && errnoOf(error) !== 'ENOENT') throw error;
    throw locked(directory, await readOwner(directory, Math.max(term, ...(await terms(directory)))));
  }
  const highest = Math.max(...(await terms(directory)));
  if (highest > term) {
    await rm(path, { force: true });
    throw locked(directory, await readOwner(directory, highest));
  }
}

function heldLock(directory: string, term: number, self: Owner): RunLock {
  let current = self;
  const rewrite = async (owner: Owner): Promise<void> => {
    const temporary = join(directory, `${temporaryPrefix}${randomUUID()}`);
    try {
      await writeOwner(temporary, owner);
      await rename(temporary, lockPath(directory, term));
      await nodeDisk.sync(directory);
      current = owner;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw unwritable(directory, error);
    }
  };
  const verify = async (): Promise<void> => {
    const found = await terms(directory).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw unwritable(directory, error);
    });
    const highest = Math.max(0, ...found);
    const owner = highest === 0 ? null : await readOwner(directory, highest);
    // Somebody removed the lock file, perhaps with the folder: as long as nobody else came, it is still ours.
    if (highest === 0) return restore(directory, term, current);
    if (highest !== term || (owner !== null && !isSameProcess(owner, self))) {
      throw takenOver(directory, highest, owner);
    }
  };
  return {
    term,
    runId: self.run,
    verify,
    async nameRun(run) {
      await verify();
      if (current.run !== run) await rewrite({ ...current, run });
    },
    async release() {
      try {
        await verify();
      } catch (error) {
        if (error instanceof LockstepError && error.code === 'RUN_LOCKED') return;
        throw error;
      }
      await rewrite({ ...current, released: true });
    },
  };
}

async function restore(directory: string, term: number, owner: Owner): Promise<void> {
  const temporary = join(directory, `${temporaryPrefix}${randomUUID()}`);
  try {
    await mkdir(directory, { recursive: true });
    await writeOwner(temporary, owner);
    await claimTerm(directory, term, temporary);
  } catch (error) {
    throw unwritable(directory, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

function isSameProcess(a: Owner, b: Owner): boolean {
  return a.pid === b.pid && a.host === b.host && a.process === b.process;
}

/** Gives the last owner, who is gone. */
async function refuseIfHeld(directory: string, term: number): Promise<Owner | null> {
  const owner = await readOwner(directory, term);
  if (owner !== null && !owner.released && (await mayLive(owner))) throw locked(directory, owner);
  return owner;
}

/** Only a process of this host can be seen to be dead. */
async function mayLive({ pid, host, process: identity }: Owner): Promise<boolean> {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, as somebody else's.
    if (errnoOf(error) === 'ESRCH') return false;
  }
  return (await processIdentity(pid)) === identity;
}

/**
 * Linux: the boot and the clock tick the process started at, which no two processes with one pid share. Null
 * where the system does not tell, and for a process that is dead but still has its pid.
 */
async function processIdentity(pid: number): Promise<string | null> {
  try {
    const [boot, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // Fields 3 and 22 of proc(5); the second field, a name in parentheses, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : `${boot.trim()}:${fields[19]}`;
  } catch {
    return null;
  }
}

async function terms(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names.flatMap((name) => {
    const match = namePattern.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
}

/** Null if the file is gone or, cut short by a crash of the machine, says nothing. */
async function readOwner(directory: string, term: number): Promise<Owner | null> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(lockPath(directory, term), 'utf8')));
  } catch (error) {
    if (errnoOf(error) === 'EACCES') throw error;
    return null;
  }
}

async function writeOwner(path: string, owner: Owner): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(`${JSON.stringify(owner)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

function lockPath(directory: string, term: number): string {
  return join(directory, `lock-${String(term).padStart(6, '0')}.json`);
}

function locked(directory: string, owner: Owner | null): LockstepError {
  const who = owner === null ? 'another process' : `process ${owner.pid} on ${owner.host}`;
  return new LockstepError('RUN_LOCKED', `the run folder ${directory} is held by ${who}`, {
    hint:
      owner === null || owner.host === hostname()
        ? 'Wait for it or stop it, or use another folder.'
        : `Use another folder; if that process is surely gone, set "released" to true in the lock file.`,
  });
}

function takenOver(directory: string, term: number, owner: Owner | null): LockstepError {
  const who = owner === null ? 'another process' : `process ${owner.pid} on ${owner.host}`;
  return new LockstepError(
    'RUN_LOCKED',
    `another coordinator with term ${term} has taken over the run folder ${directory}: ${who}`,
    { hint: 'Nothing to do if that was meant; this one has written nothing since. Let one at a time run.' },
  );
}
