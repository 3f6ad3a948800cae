import { invariant } from './errors.js';
import { resultOf, stateOf } from './metrics/state.js';
import type { ProgramSpec } from './program.js';

type Scored = Pick<ProgramSpec, 'outputs' | 'metrics'>;

/** Where a metric's state lies: in the float64 sums, or as the list of scores with this index. */
export type MetricPlace =
  | { readonly kind: 'sums'; readonly offset: number; readonly size: number }
  | { readonly kind: 'scores'; readonly index: number };

/** What each position of `ShardPartial.sums` means. */
export interface SumsLayout {
  readonly length: number;
  /** Regularisation losses of the step, added by shard 0. */
  readonly regularization: number;
  /** Per output: Σ weight × loss, and the number of loss elements (which weights do not change). */
  readonly outputs: readonly { readonly loss: number; readonly elements: number }[];
  readonly metrics: readonly MetricPlace[];
  /** Lists of scores. */
  readonly scores: number;
}

/** How many positions of the sums, the first ones, are about the loss; those of metrics follow. */
export const lossSumsOf = (outputs: number): number => 1 + 2 * outputs;

export function layoutOf(program: Scored): SumsLayout {
  const outputs = program.outputs.map((_, index) => ({ loss: 1 + 2 * index, elements: 2 + 2 * index }));
  let length = lossSumsOf(outputs.length);
  let scores = 0;
  const metrics = program.metrics.map(({ metric }): MetricPlace => {
    const state = stateOf(metric);
    if (state.kind === 'scores') return { kind: 'scores', index: scores++ };
    length += state.size;
    return { kind: 'sums', offset: length - state.size, size: state.size };
  });
  return { length, regularization: 0, outputs, metrics, scores };
}

const lossOfOutput = (layout: SumsLayout, output: number, sums: Float64Array): number => {
  const { loss, elements } = layout.outputs[output];
  return sums[elements] === 0 ? 0 : sums[loss] / sums[elements];
};

/** The loss that the batch was trained on: weighted outputs plus regularisation. */
export function batchLossOf(layout: SumsLayout, program: Scored, sums: Float64Array): number {
  let loss = sums[layout.regularization];
  program.outputs.forEach(({ lossWeight }, output) => {
    loss += lossWeight * lossOfOutput(layout, output, sums);
  });
  return loss;
}

/** The state of `RunningLogs`, for checkpoints. */
export interface RunningLogsState {
  /** Rows, Σ rows × batch loss, then the sums in the order of the layout. */
  readonly values: Float64Array;
  /** Per metric that ranks: (score, label, weight) of every row. */
  readonly scores: readonly Float32Array[];
}

/**
 * The totals of an epoch. Metrics are those of all rows together, never means of batches' metrics; `loss` is the
 * mean of the batches' losses weighted by their rows, as in Keras.
 */
export class RunningLogs {
  readonly #program: Scored;
  readonly #layout: SumsLayout;
  #rows = 0;
  #lossTimesRows = 0;
  #sums: Float64Array;
  #scores: Float32Array[][];

  constructor(program: Scored) {
    this.#program = program;
    this.#layout = layoutOf(program);
    this.#sums = new Float64Array(this.#layout.length);
    this.#scores = Array.from({ length: this.#layout.scores }, () => []);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Adds what the shards of one batch add up to; takes over `scores`. */
  add(sums: Float64Array, scores: readonly Float32Array[], rows: number): void {
    invariant(sums.length === this.#layout.length, `${sums.length} sums, expected ${this.#layout.length}`);
    invariant(scores.length === this.#layout.scores, `${scores.length} lists of scores`);
    this.#rows += rows;
    this.#lossTimesRows += rows * batchLossOf(this.#layout, this.#program, sums);
    for (let i = 0; i < sums.length; i++) this.#sums[i] += sums[i];
    scores.forEach((list, index) => {
      // A view of a message would keep all of it, the gradient among it, until the epoch ends.
      const isAlone = list.byteLength === list.buffer.byteLength;
      this.#scores[index].push(isAlone ? list : list.slice());
    });
  }

  /**
   * Loss and metrics of the rows so far, by Keras name: `loss`, `accuracy`; with several outputs also
   * `OUTPUT_loss`, and `OUTPUT_accuracy`. Ranking metrics sort all rows so far: `ranked: false` leaves them out,
   * for logs that are wanted after every batch.
   */
  logs({ ranked = true }: { ranked?: boolean } = {}): Record<string, number> {
    const { outputs, metrics } = this.#program;
    const several = outputs.length > 1;
    const logs: Record<string, number> = { loss: this.#rows === 0 ? 0 : this.#lossTimesRows / this.#rows };
    if (several) {
      outputs.forEach(({ name }, output) => {
        logs[`${name}_loss`] = lossOfOutput(this.#layout, output, this.#sums);
      });
    }
    metrics.forEach(({ metric, output, label }, index) => {
      const place = this.#layout.metrics[index];
      if (place.kind === 'scores' && !ranked) return;
      const state =
        place.kind === 'sums'
          ? this.#sums.subarray(place.offset, place.offset + place.size)
          : this.#allScores(place.index);
      logs[several ? `${outputs[output].name}_${label}` : label] = resultOf(metric, state);
    });
    return logs;
  }

  saveState(): RunningLogsState {
    return {
      values: Float64Array.of(this.#rows, this.#lossTimesRows, ...this.#sums),
      scores: this.#scores.map((_, index) => this.#allScores(index).slice()),
    };
  }

  /** Whether a state can be of the same outputs and metrics. */
  fits({ values, scores }: RunningLogsState): boolean {
    return values.length === this.#layout.length + 2 && scores.length === this.#layout.scores;
  }

  loadState(state: RunningLogsState): void {
    invariant(this.fits(state), 'running logs of another program');
    const { values, scores } = state;
    [this.#rows, this.#lossTimesRows] = values;
    this.#sums = values.slice(2);
    this.#scores = scores.map((list) => [list.slice()]);
  }

  /** All scores of a list in one array, which replaces the pieces. */
  #allScores(index: number): Float32Array {
    const pieces = this.#scores[index];
    if (pieces.length === 1) return pieces[0];
    const all = new Float32Array(pieces.reduce((length, piece) => length + piece.length, 0));
    let offset = 0;
    for (const piece of pieces) {
      all.set(piece, offset);
      offset += piece.length;
    }
    this.#scores[index] = [all];
    return all;
  }
}
