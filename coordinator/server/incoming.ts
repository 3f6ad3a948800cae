import { createHash } from 'node:crypto';
import { decodePartial } from '../../shared/protocol/partial-payload.js';
import { decodeTensors } from '../../shared/protocol/tensor-payload.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import type { ShardResult } from '../active-round.js';
import type { RoundSpec } from '../core/round.js';

/** What every result of a run must look like; anything else is refused before it can touch the sum. */
export interface ResultShape {
  readonly trainableSize: number;
  /** Trainable variables. */
  readonly variables: number;
  readonly sums: number;
  readonly scores: number;
  /** Channels of each BatchNorm layer in the manifest's order. */
  readonly channels: readonly number[];
  /** Tensors of a prediction. */
  readonly outputs: number;
  /** Of each output: elements per row, or null where the model leaves that to the data. */
  readonly outputElements: readonly (number | null)[];
}

/**
 * What a worker's message carries, or null if it is not what this run's shards give.
 * @param kind of the round it names; null if that is not the present one, and the core will reject it
 */
export function readResult(
  message: ToCoordinatorOf<'partial'> | ToCoordinatorOf<'outputs'>,
  payload: Uint8Array,
  kind: RoundSpec['kind'] | null,
  shape: ResultShape,
): ShardResult | null {
  const { computeMs } = message;
  if (message.type === 'outputs') {
    if ((kind !== null && kind !== 'predict') || message.tensors.length !== shape.outputs) return null;
    return { partial: null, outputs: decodeTensors(message.tensors, payload), computeMs, digests: [] };
  }
  const { sections, digests, lo, hi } = message;
  const areDigestsOwn = digests.every(
    ({ shard, variables }) => lo <= shard && shard < hi && variables.length === shape.variables,
  );
  if (!areDigestsOwn) return null;
  if (kind === 'predict' || sections.sums !== shape.sums || sections.scores.length !== shape.scores)
    return null;
  if (kind !== null && sections.gradient !== (kind === 'train' ? shape.trainableSize : 0)) return null;
  const sitesFit = sections.moments.every(
    ({ batchNorm, channels }) => shape.channels[batchNorm] === channels,
  );
  if (!sitesFit || (kind === 'evaluate' && sections.moments.length > 0)) return null;
  const partial = decodePartial(sections, payload);
  return partial.moments.every(({ count }) => Number.isFinite(count) && count > 0)
    ? { partial, outputs: null, computeMs, digests }
    : null;
}

/** Of everything in a result that counts, as it came: what two workers must have in common for the same shards. */
export function digestOfResult(
  message: ToCoordinatorOf<'partial'> | ToCoordinatorOf<'outputs'>,
  payload: Uint8Array,
): string {
  const form = message.type === 'partial' ? message.sections : message.tensors;
  return createHash('sha256').update(JSON.stringify(form)).update(payload).digest('hex');
}
