import type { TensorData } from '../../../shared/tensors.js';

/** One label, prediction and weight per element, in row order; `weights` of length n weigh equal runs of elements. */
export interface Elements {
  readonly labels: TensorData;
  readonly predictions: TensorData;
  readonly weights: TensorData | null;
}

/** Adds a shard's elements to a metric's float64 state. */
export type Count = (elements: Elements, state: Float64Array) => void;

function forEachElement(
  { labels, predictions, weights }: Elements,
  visit: (label: number, prediction: number, weight: number) => void,
): void {
  const perWeight = weights === null ? 1 : predictions.length / weights.length;
  for (let i = 0; i < predictions.length; i++) {
    visit(labels[i], predictions[i], weights === null ? 1 : weights[Math.floor(i / perWeight)]);
  }
}

/** State: true positives, predicted positives. A label is positive unless it is 0. */
export function countPrecision(threshold: number): Count {
  return (elements, state) => {
    forEachElement(elements, (label, prediction, weight) => {
      if (!(prediction > threshold)) return;
      if (label !== 0) state[0] += weight;
      state[1] += weight;
    });
  };
}

/** State: true positives, actual positives. */
export function countRecall(threshold: number): Count {
  return (elements, state) => {
    forEachElement(elements, (label, prediction, weight) => {
      if (label === 0) return;
      if (prediction > threshold) state[0] += weight;
      state[1] += weight;
    });
  };
}

/** State: Σ w(y - ŷ)², Σ wy², Σ wy, Σ w. */
export const countR2: Count = (elements, state) => {
  forEachElement(elements, (label, prediction, weight) => {
    state[0] += weight * (label - prediction) ** 2;
    state[1] += weight * label ** 2;
    state[2] += weight * label;
    state[3] += weight;
  });
};

/** float32 triples (score, label, weight), one per element. */
export function scoresOf(elements: Elements): Float32Array {
  const triples = new Float32Array(elements.predictions.length * 3);
  let next = 0;
  forEachElement(elements, (label, prediction, weight) => {
    triples[next++] = prediction;
    triples[next++] = label;
    triples[next++] = weight;
  });
  return triples;
}
