import { createHash } from 'node:crypto';
import type { StepRecord } from '../coordinator/loop/training-plan.js';
import { unflatten } from '../shared/manifest.js';
import { bytesOf } from '../shared/tensors.js';

/** The fingerprints of one step: enough to say where two runs part, without keeping their weights. */
export interface TracedStep {
  readonly step: number;
  readonly weightsSha256: string;
  readonly gradientSha256: string;
  readonly shardHashes: Readonly<Record<number, string>>;
  /** Hash of each weight, by its name, in the order of `model.getWeights()`. */
  readonly tensors: ReadonlyMap<string, string>;
}

export function traced({ flat, manifest, shardHashes, ...hashes }: StepRecord): TracedStep {
  const views = unflatten(manifest, flat);
  const tensors = new Map(
    manifest.weights.map(({ name }, index) => [
      name,
      createHash('sha256').update(bytesOf(views[index])).digest('hex'),
    ]),
  );
  return {
    step: hashes.step,
    weightsSha256: hashes.weightsSha256,
    gradientSha256: hashes.gradientSha256,
    shardHashes,
    tensors,
  };
}

export type Difference =
  | { readonly type: 'length'; readonly steps: readonly [number, number] }
  | {
      readonly type: 'bits';
      readonly step: number;
      /** The first shard whose partial differs; null if none does or the trainer does not tell. */
      readonly shard: number | null;
      /** The first weight that differs; null if only the gradient does. */
      readonly tensor: string | null;
      readonly gradient: boolean;
    };

/** Where two runs of the same job part, or null if they took the same bits all the way. */
export function firstDifference(a: readonly TracedStep[], b: readonly TracedStep[]): Difference | null {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const [one, other] = [a[index], b[index]];
    const gradient = one.gradientSha256 !== other.gradientSha256;
    const shard = firstUnequal(shardsOf(one), shardsOf(other));
    const tensor = firstUnequal(one.tensors, other.tensors);
    if (gradient || shard !== null || tensor !== null || one.weightsSha256 !== other.weightsSha256) {
      return { type: 'bits', step: one.step, shard, tensor, gradient };
    }
  }
  return a.length === b.length ? null : { type: 'length', steps: [a.length, b.length] };
}

function shardsOf({ shardHashes }: TracedStep): Map<number, string> {
  return new Map(Object.entries(shardHashes).map(([shard, hash]) => [Number(shard), hash]));
}

/** Entries that only one side has are not compared: which shards arrive alone depends on the workers. */
function firstUnequal<K>(a: ReadonlyMap<K, string>, b: ReadonlyMap<K, string>): K | null {
  for (const [key, hash] of a) {
    const other = b.get(key);
    if (other !== undefined && other !== hash) return key;
  }
  return null;
}

/** One line about a difference. */
export function describeDifference(difference: Difference, a: string, b: string): string {
  if (difference.type === 'length') {
    return `${a} made ${difference.steps[0]} steps, ${b} ${difference.steps[1]}`;
  }
  const { step, shard, tensor, gradient } = difference;
  const parts = [
    ...(shard === null ? [] : [`shard ${shard}`]),
    ...(gradient ? ['the gradient'] : []),
    ...(tensor === null ? [] : [`weight ${tensor}`]),
  ];
  return `step ${step} differs between ${a} and ${b}: first in ${parts.join(', then in ') || 'the weights'}`;
}
