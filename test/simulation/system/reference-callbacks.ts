import { manifest, rates, type TinyJob } from './tiny-job.js';

/** The saved state of every callback by its key, as text to the bit. */
export type ExpectedCallbacks = Readonly<Record<string, string>>;

export const plateau = { monitor: 'loss', factor: 0.5, patience: 1, minDelta: 0.05 } as const;
export const stopping = {
  monitor: 'val_loss',
  patience: 1,
  startFromEpoch: 1,
  restoreBestWeights: true,
} as const;
/** Of the journal's moving average of the weights. */
export const averageDecay = 0.75;

/** Plain data and tensors as text that differs where any bit does. */
export function exactText(values: unknown, tensors: Readonly<Record<string, Float32Array>> = {}): string {
  const plain = JSON.stringify(values, (_key, value: unknown) => {
    if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  const bits = Object.entries(tensors)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { buffer, byteOffset, byteLength }]) => {
      return `${name}:${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}`;
    });
  return [plain, ...bits].join(' ');
}

/** EarlyStopping, ReduceLROnPlateau, the history and the journal as Keras's documentation tells them, in plain code. */
export class ReferenceCallbacks {
  learningRate: number | null = null;
  isStopped = false;
  bestWeights: Float32Array | null = null;
  readonly #job: TinyJob;
  readonly #journal = { batches: 0, total: 0, average: new Float32Array(manifest.totalSize) };
  readonly #plateau = { wait: 0, best: Number.POSITIVE_INFINITY, cooldownLeft: 0 };
  readonly #stopping = {
    wait: 0,
    best: Number.POSITIVE_INFINITY,
    bestEpoch: 0,
    stoppedEpoch: null as number | null,
  };
  readonly #history = { epoch: [] as number[], history: {} as Record<string, number[]> };

  constructor(job: TinyJob) {
    this.#job = job;
  }

  endBatch(loss: number, weights: Float32Array): void {
    this.#journal.batches += 1;
    this.#journal.total += loss;
    const { average } = this.#journal;
    for (let i = 0; i < average.length; i++) {
      average[i] = averageDecay * average[i] + (1 - averageDecay) * weights[i];
    }
  }

  endEpoch(
    epoch: number,
    logs: Readonly<Record<string, number>>,
    validation: Readonly<Record<string, number>> | null,
    weights: Float32Array,
  ): void {
    const rate = this.learningRate ?? rates[this.#job.optimizer];
    const entries = {
      ...logs,
      ...(validation === null
        ? {}
        : { val_loss: validation.loss, val_mae: validation.mae, val_ledger: validation.ledger }),
      learning_rate: rate,
    };
    const { loss } = logs;
    if (loss + plateau.minDelta < this.#plateau.best) {
      this.#plateau.best = loss;
      this.#plateau.wait = 0;
    } else if (++this.#plateau.wait >= plateau.patience) {
      this.learningRate = rate * plateau.factor;
      this.#plateau.wait = 0;
    }
    if (this.#job.stopsEarly && validation !== null && epoch >= stopping.startFromEpoch)
      this.#stop(epoch, validation.loss, weights);
    this.#history.epoch.push(epoch);
    for (const [name, value] of Object.entries(entries)) {
      this.#history.history[name] = [...(this.#history.history[name] ?? []), value];
    }
  }

  #stop(epoch: number, loss: number, weights: Float32Array): void {
    this.bestWeights ??= weights.slice();
    this.#stopping.wait += 1;
    if (loss < this.#stopping.best) {
      this.bestWeights = weights.slice();
      Object.assign(this.#stopping, { best: loss, bestEpoch: epoch, wait: 0 });
    } else if (this.#stopping.wait >= stopping.patience) {
      this.#stopping.stoppedEpoch = epoch;
      this.isStopped = true;
    }
    if (this.#stopping.bestEpoch === 0) this.#stopping.bestEpoch = epoch;
  }

  state(): ExpectedCallbacks {
    const { batches, total, average } = this.#journal;
    const best = this.bestWeights;
    const tensors = Object.fromEntries(
      best === null
        ? []
        : manifest.weights.map(({ offset, size }, i) => [`best/${i}`, best.subarray(offset, offset + size)]),
    );
    const stoppingText = exactText(
      { ...this.#stopping, weights: best === null ? null : manifest.weights.length },
      tensors,
    );
    return {
      journal: exactText({ batches, total }, { average: inModelOrder(average) }),
      reduceLROnPlateau: exactText(this.#plateau),
      ...(this.#job.stopsEarly ? { earlyStopping: stoppingText } : {}),
      history: exactText(this.#history),
    };
  }
}

/** A flat vector's weights in the order of `getWeights()`, one after the other. */
export function inModelOrder(flat: Float32Array): Float32Array {
  const ordered = new Float32Array(flat.length);
  let at = 0;
  for (const { offset, size } of manifest.weights) {
    ordered.set(flat.subarray(offset, offset + size), at);
    at += size;
  }
  return ordered;
}
