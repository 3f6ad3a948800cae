import { closeSync, constants, openSync } from 'node:fs';
import { SharedMemory } from '../shared/transport/shared-memory.js';

/** Where Linux has files that are memory. */
const memoryFolder = '/dev/shm';

/** Opens a file without a name (O_TMPFILE): of the generic Linux ABI, which Node's constants leave out. */
export const unnamedFile = 0o20000000 | constants.O_DIRECTORY;

/** Memory that is shared with one child. */
export interface MemoryFiles {
  readonly memory: SharedMemory;
  /** For the child's `stdio`, in the order of `memoryDescriptors`: what it reads, and what it writes. */
  readonly descriptors: readonly [number, number];
  /** Frees what only this process still holds. */
  close(): void;
}

/** Whether payloads may cross in memory; LOCKSTEP_SHARED_MEMORY=off has all of them cross the socket. */
export function sharesMemory(environment: NodeJS.ProcessEnv = process.env): boolean {
  return environment.LOCKSTEP_SHARED_MEMORY !== 'off';
}

/**
 * Opens two files in memory that have no name: no other user can open them, and they are gone with the last process that
 * has them open, however that ends.
 * @returns null where there are no such files, or none to spare
 */
export function openMemoryFiles(folder = memoryFolder): MemoryFiles | null {
  if (process.platform !== 'linux') return null;
  const opened: number[] = [];
  const close = (): void => {
    for (const descriptor of opened.splice(0)) closeSync(descriptor);
  };
  try {
    const flags = unnamedFile | constants.O_RDWR | constants.O_EXCL;
    for (let i = 0; i < 2; i++) opened.push(openSync(folder, flags, 0o600));
  } catch {
    close();
    return null;
  }
  const [outgoing, incoming] = opened;
  const memory = new SharedMemory({ incoming, outgoing });
  return {
    memory,
    descriptors: [outgoing, incoming],
    close: () => {
      memory.close();
      close();
    },
  };
}
