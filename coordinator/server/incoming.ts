import { createHash } from 'node:crypto';
import { isFiniteFloat32 } from '../../shared/float32.js';
import { decodePartial } from '../../shared/protocol/partial-payload.js';
import { decodeTensors } from '../../shared/protocol/tensor-payload.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import type { TensorData } from '../../shared/tensors.js';
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

/**
 * Of everything in a result that counts: what two workers must have in common for the same shards. Any NaN is as good
 * as another, as neither IEEE 754 nor JavaScript says which bits it has: those of `Math.pow(-1, 0.5)` change when the
 * engine compiles the loop around it, so a worker that has just come would disagree with an older one.
 */
export function digestOfResult(
  message: ToCoordinatorOf<'partial'> | ToCoordinatorOf<'outputs'>,
  result: ShardResult,
): string {
  const form = message.type === 'partial' ? message.sections : message.tensors;
  const hash = createHash('sha256').update(JSON.stringify(form));
  for (const values of arraysOf(result)) hash.update(withOneNaN(values));
  return hash.digest('hex');
}

type Numbers = TensorData | Float64Array;

function arraysOf({ partial, outputs }: ShardResult): Numbers[] {
  const ofOutputs = outputs?.map(({ data }) => data) ?? [];
  if (partial === null) return ofOutputs;
  const { gradient, sums, moments, scores } = partial;
  const ofMoments = moments.flatMap(({ count, mean, m2 }) => [Float64Array.of(count), mean, m2]);
  return [gradient, sums, ...ofMoments, ...scores, ...ofOutputs];
}

/** The numbers; where there may be NaN a copy, in which all bits of each NaN are ones. */
function withOneNaN(numbers: Numbers): Numbers {
  const isFloat32 = numbers instanceof Float32Array;
  if (isFloat32 ? isFiniteFloat32(numbers) : !(numbers instanceof Float64Array)) return numbers;
  const copy = numbers.slice();
  const bytes = new Uint8Array(copy.buffer);
  const width = copy.BYTES_PER_ELEMENT;
  for (let i = 0; i < copy.length; i++) {
    if (Number.isNaN(numbers[i])) bytes.fill(0xff, i * width, (i + 1) * width);
  }
  return copy;
}
