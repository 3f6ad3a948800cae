import { createReadStream } from 'node:fs';
import type { Digest } from '../../shared/digest.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { chainOf, isHeader, type Receipt, type ReceiptsHeader, receiptSchema } from './receipt.js';

export interface ReadLine {
  readonly line: Receipt | ReceiptsHeader;
  /** Where the line ends in the file. */
  readonly endBytes: number;
  /** Whether its chain follows from its text and the line before: else one of the two was changed. */
  readonly isLinked: boolean;
}

/** Far above the longest that is written: a step's recorded shards are bounded by `maxDigestedShards`. */
const maxLineMiB = 256;

/**
 * The lines of a file of receipts, the header first. A last line that was cut off is left out.
 * @throws LockstepError RECEIPTS_INVALID if it cannot be read or holds something else
 */
export async function* readReceipts(path: string): AsyncGenerator<ReadLine> {
  let chain: Digest | '' = '';
  let number = 0;
  for await (const { text, endBytes } of linesOf(path)) {
    number += 1;
    const line = parse(text, path, number);
    if (isHeader(line) !== (number === 1)) throw invalid(path, number);
    const continues = isHeader(line) && line.continues === true;
    const isLinked = continues || line.chain === chainOf(chain, text);
    yield { line, endBytes, isLinked };
    chain = line.chain;
  }
  if (number === 0) throw invalid(path, 1);
}

async function* linesOf(path: string): AsyncGenerator<{ text: string; endBytes: number }> {
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  let endBytes = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let begin = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, begin)) {
        const line = Buffer.concat([...pieces, chunk.subarray(begin, end)]);
        endBytes += line.length + 1;
        yield { text: line.toString(), endBytes };
        pieces = [];
        pendingBytes = 0;
        begin = end + 1;
      }
      pieces.push(chunk.subarray(begin));
      pendingBytes += chunk.length - begin;
      if (pendingBytes > maxLineMiB * 1_024 * 1_024)
        throw new RangeError(`a line of more than ${maxLineMiB} MiB`);
    }
  } catch (cause) {
    throw new LockstepError('RECEIPTS_INVALID', `cannot read the receipts ${path}: ${messageOf(cause)}`, {
      hint: 'Give the folder of a run that was trained with --checkpoint-dir, or its receipts.jsonl.',
      cause,
    });
  }
}

function parse(text: string, path: string, number: number): Receipt | ReceiptsHeader {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(path, number);
  }
  const checked = receiptSchema.safeParse(value);
  if (!checked.success) throw invalid(path, number);
  return checked.data;
}

function invalid(path: string, number: number): LockstepError {
  return new LockstepError('RECEIPTS_INVALID', `line ${number} of ${path} is no receipt`, {
    hint: 'Give the receipts.jsonl as Lockstep wrote it, or the folder that holds it.',
  });
}
