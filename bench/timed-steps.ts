import type * as tf from '@tensorflow/tfjs';
import { type ArrayData, type Cluster, type FitOptions, lambdaCallback } from 'lockstep';

export interface TimedSteps extends Pick<FitOptions, 'checkpoint' | 'recordShards' | 'loss'> {
  readonly batchSize: number;
  readonly shards: number;
  /** Steps to time; one more is taken before them, untimed. */
  readonly steps: number;
}

/** Trains on a cluster and gives the milliseconds between the ends of steps: everything that a step takes. */
export async function timedSteps(
  cluster: Cluster,
  model: tf.LayersModel,
  data: ArrayData,
  { steps, ...options }: TimedSteps,
): Promise<number[]> {
  const endsMs: number[] = [];
  const onTrainBatchEnd = (): void => {
    endsMs.push(performance.now());
  };
  await cluster.fit(model, data, {
    ...options,
    stepsPerEpoch: steps + 1,
    callbacks: lambdaCallback({ onTrainBatchEnd }),
  });
  return endsMs.slice(1).map((endMs, i) => endMs - endsMs[i]);
}
