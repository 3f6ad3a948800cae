import { mkdir, open, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { isDiskFull } from '../checkpoint/disk.js';
import type { Callback, Logs, Training } from './callback.js';
import { valuesOf } from './callback-state.js';

export interface CsvLoggerOptions {
  /** Default `,`. */
  readonly separator?: string;
  /** Whether to go on below what the file holds. Default false: a new run begins a new file. */
  readonly append?: boolean;
}

const savedValues = z.strictObject({
  rows: z.int().nonnegative(),
  columns: z.array(z.string()).nullable(),
  '~bytes': z.int().nonnegative(),
  '~unwritten': z.string().default(''),
});

/**
 * Writes a row of the logs after every epoch: the epoch, counted from 0, then the entries of the first epoch's
 * logs in the order of their names; `NA` where one is missing. Semantics: `keras.callbacks.CSVLogger`. A resumed
 * run cuts the file back to the rows of its checkpoint first, so that no epoch is there twice. Rows that find the
 * disk full are kept, said to be, and written with the next one.
 */
export function csvLogger(
  path: string,
  { separator = ',', append = false }: CsvLoggerOptions = {},
): Callback {
  let columns: readonly string[] | null = null;
  /** Rows of this run. */
  let rows = 0;
  /** Size of the file after the last of them. */
  let bytes = 0;
  /** Lines that found the disk full. */
  let unwritten = '';
  /** The file is cut to its size when the first row comes: until then a checkpoint may still say where. */
  let isCut = false;

  const line = (cells: readonly (string | number)[]): string => {
    const quoted = cells.map((cell) => {
      const text = String(cell);
      const isPlain = !text.includes(separator) && !/["\r\n]/.test(text);
      return isPlain ? text : `"${text.replaceAll('"', '""')}"`;
    });
    return `${quoted.join(separator)}\n`;
  };

  const cut = async (): Promise<void> => {
    if (isCut) return;
    isCut = true;
    const { size } = await stat(path);
    if (size > bytes) await truncate(path, bytes);
    // The file is not the one that the checkpoint knew: go on below what is there.
    if (size < bytes) bytes = size;
  };

  const add = async (text: string): Promise<void> => {
    const file = await open(path, 'a');
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    bytes += Buffer.byteLength(text);
  };

  /** Writes what is to be written, or keeps it where the disk is full. */
  const write = async (text: string, training: Training): Promise<void> => {
    const kept = unwritten;
    unwritten += text;
    try {
      await cut();
      if (unwritten !== '') await add(unwritten);
      unwritten = '';
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      // A part of a line may be there.
      isCut = false;
      const what = `csvLogger cannot write ${path}: ${messageOf(error)}`;
      if (kept === '')
        training.print(`warning: ${what}. Training goes on; the rows are kept and tried again.`);
      return;
    }
    if (kept !== '') training.print(`csvLogger writes ${path} again, with the rows that were kept`);
  };

  return {
    name: 'csvLogger',

    onTrainBegin: () =>
      explained(path, async () => {
        columns = null;
        rows = 0;
        isCut = false;
        unwritten = '';
        await mkdir(dirname(path), { recursive: true });
        await (await open(path, 'a')).close();
        bytes = append ? (await stat(path)).size : 0;
      }),

    onEpochEnd: (epoch, logs, training) =>
      explained(path, async () => {
        await cut();
        columns ??= columnsOf(logs, training);
        const header = bytes === 0 && unwritten === '' ? line(['epoch', ...columns]) : '';
        await write(header + line([epoch, ...columns.map((name) => logs[name] ?? 'NA')]), training);
        rows++;
      }),

    onTrainEnd: (_logs, training) => explained(path, () => write('', training)),

    saveState: () => ({ values: { rows, columns, '~bytes': bytes, '~unwritten': unwritten } }),

    loadState(state) {
      ({
        rows,
        columns,
        '~bytes': bytes,
        '~unwritten': unwritten,
      } = valuesOf('csvLogger', savedValues, state));
      isCut = false;
    },
  };
}

/** Keras's order; validation entries also where the first epoch was not validated. */
function columnsOf(logs: Logs, { params }: Training): string[] {
  const names = Object.keys(logs).sort();
  if (!params.validation || names.some((name) => name.startsWith('val_'))) return names;
  return [...names, ...names.filter((name) => name !== 'learning_rate').map((name) => `val_${name}`)];
}

async function explained(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new LockstepError('CALLBACK_FAILED', `csvLogger cannot write ${path}: ${messageOf(cause)}`, {
      hint: 'Choose a file that can be written, on a disk with space left.',
      cause,
    });
  }
}
