import type { RoundOutcome } from '../round.js';

/** Milliseconds of one step by part. */
export interface StepParts {
  /** Waiting for the batch. */
  readonly data: number;
  /** Handing weights, data and orders to the transport. */
  readonly broadcast: number;
  /** The longest compute time of a worker. */
  readonly compute: number;
  /** The rest of the round: what travels and what waits. */
  readonly upload: number;
  /** Adding partials. */
  readonly reduce: number;
  /** Clipping, optimizer, BatchNorm, commit. */
  readonly update: number;
}

/** How long the parts of a step took. */
export function partsOf(
  { broadcastMs, computeMs, reduceMs, roundMs }: RoundOutcome,
  { dataMs, updateMs }: { dataMs: number; updateMs: number },
): StepParts {
  return {
    data: dataMs,
    broadcast: broadcastMs,
    compute: computeMs,
    upload: Math.max(0, roundMs - computeMs - broadcastMs - reduceMs),
    reduce: reduceMs,
    update: updateMs,
  };
}

export interface StepSummary {
  readonly median: number;
  readonly p95: number;
  /** Medians. They do not add up to the median of the whole. */
  readonly parts: StepParts;
}

const partNames = ['data', 'broadcast', 'compute', 'upload', 'reduce', 'update'] as const;
/** Enough for stable percentiles; a long run keeps the latest. */
const window = 4_096;

/** Times of the latest steps, in bounded memory. */
export class StepTimings {
  readonly #totals = new Float64Array(window);
  readonly #parts = new Map(partNames.map((name) => [name, new Float64Array(window)]));
  #count = 0;

  add(totalMs: number, parts: StepParts): void {
    const slot = this.#count % window;
    this.#count += 1;
    this.#totals[slot] = totalMs;
    for (const [name, values] of this.#parts) values[slot] = parts[name];
  }

  summary(): StepSummary {
    const kept = Math.min(this.#count, window);
    const at = (values: Float64Array, fraction: number): number => {
      if (kept === 0) return 0;
      const sorted = values.slice(0, kept).sort();
      return Number(sorted[Math.min(kept - 1, Math.floor(fraction * kept))].toFixed(3));
    };
    const medians = [...this.#parts].map(([name, values]) => [name, at(values, 0.5)]);
    return {
      median: at(this.#totals, 0.5),
      p95: at(this.#totals, 0.95),
      parts: Object.fromEntries(medians) as StepParts,
    };
  }
}
