import { LockstepError } from '../../../shared/errors.js';
import type { Manifest } from '../../../shared/manifest.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ShardTask } from '../../../shared/program.js';
import { type HostTensor, sliceRows } from '../../../shared/tensors.js';

/** Rows of a first shard that are computed op by op too: BatchNormalization needs two. */
const comparedRows = 2;

/**
 * How far the compiled gradient of a weight may be from the eager one, in norms: relative to its own, plus a share
 * of the whole gradient's for weights whose gradient nearly cancels, as a bias before BatchNormalization.
 */
const tolerance = { ofVariable: 1e-3, ofGradient: 1e-5 };

/** The task with the first rows of its data. */
export function firstRows(task: ShardTask): ShardTask {
  const { x, y, sampleWeights } = task.data;
  const cut = (tensor: HostTensor) => sliceRows(tensor, 0, Math.min(comparedRows, tensor.shape[0]));
  const data = {
    x: x.map(cut),
    y: y.map(cut),
    sampleWeights: sampleWeights.map((weights) => weights && cut(weights)),
  };
  return { ...task, data };
}

function norm(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

/**
 * Checks what the two programs make of the same shard: the gradient, by variable, and the sums of losses.
 * @throws LockstepError MODEL_UNSUPPORTED if they differ by more than rounding
 */
export function compareWithEager(
  { weights }: Manifest,
  { eager, compiled }: { eager: ShardPartial; compiled: ShardPartial },
): void {
  const whole = norm(eager.gradient);
  const trained = eager.gradient.length === 0 ? [] : weights.filter(({ trainable }) => trainable);
  for (const { name, offset, size } of trained) {
    const expected = eager.gradient.subarray(offset, offset + size);
    const difference = norm(compiled.gradient.subarray(offset, offset + size).map((v, i) => v - expected[i]));
    const allowed = tolerance.ofVariable * norm(expected) + tolerance.ofGradient * whole;
    // What is not finite op by op tells nothing; the run's own policy meets it.
    if (Number.isFinite(allowed) && !(difference <= allowed)) {
      throw differs(`the gradient of ${name} differs by ${difference} (norm ${norm(expected)})`);
    }
  }
}

function differs(what: string): LockstepError {
  return new LockstepError(
    'MODEL_UNSUPPORTED',
    `compiled and op by op, the model computes differently: ${what}`,
    {
      hint: 'Choose a backend that computes op by op: --backend auto. Please report the model.',
    },
  );
}
