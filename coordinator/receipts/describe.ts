import { assertNever } from '../../shared/errors.js';
import type { Difference, JobField, Part } from './compare.js';

/** One line of what, one line of what to do. */
export interface Description {
  readonly what: string;
  readonly hint: string;
}

const fieldNames: Readonly<Record<JobField, string>> = {
  manifestHash: 'models',
  batchSize: 'batch sizes',
  shards: 'shard counts',
  seed: 'seeds',
};

/** @param a what to call the one run, and `b` the other */
export function describeDifference(difference: Difference, a: string, b: string): Description {
  if (difference.type === 'job') {
    const { field, values } = difference;
    const shown = field === 'manifestHash' ? '' : ` (${values[0]} and ${values[1]})`;
    return {
      what: `${a} and ${b} have different ${fieldNames[field]}${shown}: their bits are not expected to agree`,
      hint: 'Compare runs of one job with the same --seed, --shards and --batch-size.',
    };
  }
  const { step, part } = difference;
  const { where, hint } = described(part, a, b);
  const when = step === 0 ? 'differ before the first step' : `part in step ${step}`;
  return { what: `${a} and ${b} ${when}: first in ${where}`, hint };
}

function described(part: Part, a: string, b: string): { where: string; hint: string } {
  switch (part.what) {
    case 'data':
      return {
        where: 'the samples that it consumed',
        hint: 'Look at what the data depends on besides the seed: its files, their order, what a stream gives.',
      };
    case 'shard':
      return {
        where: `the gradient of shard ${part.shard}${part.variable === null ? '' : ` for ${part.variable}`}`,
        hint: 'Look for state or randomness outside the seed in the layers, losses and data of the job.',
      };
    case 'sum':
      return part.areShardsEqual === true
        ? {
            where: 'the sum of the gradients, although every shard agrees',
            hint: 'Suspect the memory of a machine that added them up; run both again to see if it stays.',
          }
        : {
            where: 'the sum of the gradients',
            hint: 'Train both again with --record-shards: then this names the shard and the tensor.',
          };
    case 'skipped':
      return {
        where: `that only ${part.by === 'a' ? a : b} skipped it as not finite`,
        hint: 'Give both the same --on-non-finite; if they have it, train both again with --record-shards.',
      };
    case 'weights':
      return {
        where: 'the weights, although the gradient agrees',
        hint: 'Compare learning rate, clipping and weight constraints, and callbacks that change them.',
      };
    case 'optimizer':
      return {
        where: "the optimizer's slots, although the weights agree",
        hint: "Compare the optimizer's parameters, and callbacks that set the learning rate.",
      };
    case 'stats':
      return {
        where: "BatchNorm's statistics or frozen weights, although the rest agrees",
        hint: 'Compare the momentum of the layers, and what is frozen; then suspect the layer itself.',
      };
    case 'set':
      return {
        where: `the weights that a callback set after it${part.by === null ? '' : ` in ${part.by === 'a' ? a : b} alone`}`,
        hint: 'Look at the callbacks that call setWeights, and at what they decide by.',
      };
    default:
      return assertNever(part);
  }
}
