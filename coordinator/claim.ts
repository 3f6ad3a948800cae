import type { ToCoordinatorOf } from '../shared/protocol/to-coordinator.js';
import { lossSumsOf } from '../shared/sums.js';
import type { ShardResult } from './active-round.js';
import { isCompared } from './core/answer.js';
import type { RoundSpec } from './core/round.js';
import type { RunInput, RunState } from './core/run.js';
import { isFinitePartial } from './reduce/finite.js';
import { digestOfResult } from './server/incoming.js';

/**
 * What the core is told of a worker's result: for which shards it is, whether it is finite, and its digest, which is
 * computed only where the result will be compared with another.
 * @param kind of the round it is for; null if that is not the present one
 * @param outputs of the model
 */
export function claimOf(
  worker: number,
  { message, result }: IncomingResult,
  { kind, state, outputs }: { kind: RoundSpec['kind'] | null; state: RunState; outputs: number },
): RunInput {
  const { round: roundId, lo, hi } = message;
  const claim = { worker, roundId, range: { lo, hi } };
  const { partial } = result;
  const finite = kind !== 'train' || partial === null || isFinitePartial(partial, lossSumsOf(outputs));
  const isDoubtful = !finite || isCompared(state, claim);
  const digest = isDoubtful ? digestOfResult(message, result) : null;
  return { type: 'partial', ...claim, digest, finite };
}

/** A result: what was said about it, and what it is. */
export interface IncomingResult {
  readonly message: ToCoordinatorOf<'partial' | 'outputs'>;
  readonly result: ShardResult;
}
