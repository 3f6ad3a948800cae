import type { FunctionRef } from '../program.js';
import { areaUnderRoc } from './auc.js';

/**
 * What a metric keeps of the rows it saw. `sums`: so many float64 numbers that add up over rows, `[Σ weight ×
 * value, Σ weight]` unless said otherwise below. `scores`: every row's (score, label, weight), for metrics that rank.
 */
export type MetricState = { readonly kind: 'sums'; readonly size: number } | { readonly kind: 'scores' };

/** The state that a metric's shards send. */
export function stateOf(metric: FunctionRef): MetricState {
  if (metric.kind === 'builtin' && metric.name === 'auc') return { kind: 'scores' };
  if (metric.kind === 'builtin' && metric.name === 'r2Score') return { kind: 'sums', size: 4 };
  return { kind: 'sums', size: 2 };
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/**
 * The metric's value. `state` is what the shards' states add up to, or the triples of all rows for a metric
 * that ranks. 0/0 is 0.
 *
 * precision: `[true positives, predicted positives]`; recall: `[true positives, actual positives]`; r2Score:
 * `[Σ w(y - ŷ)², Σ wy², Σ wy, Σ w]`.
 */
export function resultOf(metric: FunctionRef, state: Float64Array | Float32Array): number {
  if (metric.kind === 'builtin') {
    switch (metric.name) {
      case 'auc':
        return areaUnderRoc(state instanceof Float32Array ? state : Float32Array.from(state));
      case 'rootMeanSquaredError':
        return Math.sqrt(ratio(state[0], state[1]));
      case 'r2Score':
        return r2(state[0], state[1], state[2], state[3]);
    }
  }
  return ratio(state[0], state[1]);
}

/** 1 - residual / total sum of squares; 0 where the labels do not vary, as in Keras. */
function r2(residual: number, squares: number, sum: number, weight: number): number {
  const total = squares - ratio(sum * sum, weight);
  return total <= 0 ? 0 : 1 - residual / total;
}
