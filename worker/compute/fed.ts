import * as tf from '@tensorflow/tfjs';
import type { TensorData } from '../../shared/tensors.js';
import type { LabelForm } from './labels.js';

/** Which of a shard's values a tensor holds: what differs from one shard to the next, besides the weights. */
export type FedSource =
  | { readonly kind: 'x'; readonly input: number }
  | { readonly kind: 'labels'; readonly output: number; readonly form: LabelForm }
  | { readonly kind: 'sampleWeights'; readonly output: number; readonly rank: number }
  /** The factor of an output's summed losses: see `lossShare`. */
  | { readonly kind: 'share'; readonly output: number; readonly elementsPerRow: number }
  | {
      readonly kind: 'mask';
      readonly shape: readonly number[];
      readonly rate: number;
      readonly layerSeed: number | null;
    }
  /** Standard normal values. */
  | { readonly kind: 'noise'; readonly shape: readonly number[] };

/** A value on the host, to become a tensor of `dtype`; `data` may be of a narrower type. */
export interface FedValue {
  readonly dtype: 'float32' | 'int32' | 'bool';
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** Makes the tensor of a fed value; who does not need the value does not ask for it. */
export type Feeder = (source: FedSource, value: () => FedValue) => tf.Tensor;

const upload: Feeder = (_, value) => {
  const { data, shape, dtype } = value();
  return tf.tensor(data, [...shape], dtype);
};

let feeder: Feeder = upload;

/** The tensor of what a shard feeds to its computation: its values, uploaded, unless `feedingBy` says otherwise. */
export const fed: Feeder = (source, value) => feeder(source, value);

/** Runs the synchronous `compute` with another maker of fed tensors. */
export function feedingBy<T>(other: Feeder, compute: () => T): T {
  const outer = feeder;
  feeder = other;
  try {
    return compute();
  } finally {
    feeder = outer;
  }
}
