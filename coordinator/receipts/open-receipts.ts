import { rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Digest } from '../../shared/digest.js';
import { LockstepError } from '../../shared/errors.js';
import { errnoOf } from '../checkpoint/disk.js';
import { readReceipts } from './read-receipts.js';
import { receiptsPath } from './receipts.js';
import { openFile, ReceiptsFile } from './receipts-file.js';

/** Where a checkpoint says that the receipts stood. */
export interface ReceiptsMark {
  readonly step: number;
  readonly chain: Digest;
}

export interface OpenedReceipts {
  readonly file: ReceiptsFile;
  /** Whether the lines up to the checkpoint are there, so that the file can be gone on with. */
  readonly isWhole: boolean;
}

/**
 * Opens the receipts of a run folder. A new run replaces them; a resumed one cuts them back to its checkpoint.
 * Receipts that were changed or lost meanwhile are put aside, with a warning, and the file begins at the checkpoint.
 * @param mark of the checkpoint that is resumed; null for a new run, or if the checkpoint tells of no receipts
 * @param mayWrite asked before lines are written: false if the folder is another coordinator's by now
 */
export async function openReceipts(
  directory: string,
  mark: ReceiptsMark | null,
  onWarning: (message: string) => void,
  mayWrite: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<OpenedReceipts> {
  const path = receiptsPath(directory);
  const opened = (keepBytes: number): ReceiptsFile =>
    new ReceiptsFile({ path, keepBytes, onWarning, mayWrite, openFile });
  if (mark === null) return { file: opened(0), isWhole: false };
  const found = await findMark(path, mark);
  if (found.keepBytes !== null) return { file: opened(found.keepBytes), isWhole: true };
  const aside = join(directory, 'receipts.changed.jsonl');
  const isAside = await rename(path, aside).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) === undefined) throw error;
      return false;
    },
  );
  const where = isAside ? `; they are now ${basename(aside)}` : '';
  onWarning(`the receipts in ${directory} are not those of the checkpoint: ${found.reason}${where}`);
  return { file: opened(0), isWhole: false };
}

/** Where the lines end that a checkpoint covers; the reason if they do not lead to its chain. */
async function findMark(
  path: string,
  { step, chain }: ReceiptsMark,
): Promise<{ keepBytes: number } | { keepBytes: null; reason: string }> {
  let last = 0;
  try {
    for await (const { line, endBytes, isLinked } of readReceipts(path)) {
      if (!isLinked) return { keepBytes: null, reason: `step ${line.step} was changed` };
      if (line.step > step) break;
      if (line.step === step && line.chain === chain) return { keepBytes: endBytes };
      last = line.step;
    }
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { keepBytes: null, reason: error.message };
  }
  const reason = last < step ? `they end after step ${last}` : `step ${step} is another`;
  return { keepBytes: null, reason };
}
