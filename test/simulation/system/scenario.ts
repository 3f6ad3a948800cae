import { Random } from '../../../shared/random.js';
import { drawFaults, type Fault } from './faults.js';
import { jobVariants } from './tiny-job.js';

/** A run as its seed makes it. */
export interface Scenario {
  readonly seed: number;
  readonly variant: number;
  /** When each of the first workers starts. */
  readonly workerStartsMs: readonly number[];
  /** Usual latency of a message: at least, and at most so much more. */
  readonly latencyMs: readonly [least: number, spread: number];
  /** Usual time for a shard. */
  readonly shardMs: readonly [least: number, spread: number];
  /** What a callback takes after each batch. */
  readonly callbackMs: number;
  readonly dataMs: number;
  readonly diskMs: number;
  readonly everySteps: number;
  /** How long after its end the coordinator is started again. */
  readonly restartMs: number;
  /** The share of a step's shards that are computed twice. */
  readonly auditFraction: number;
  readonly faults: readonly Fault[];
}

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed ^ 0x5eed);
  const pick = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)];
  const faults = drawFaults(random);
  const hasWrongResults = faults.some(({ kind }) => kind === 'result wrong');
  const workers = hasWrongResults ? 3 + random.below(2) : 1 + random.below(4);
  return {
    seed,
    variant: random.below(jobVariants),
    workerStartsMs: Array.from({ length: workers }, (_, i) => (i === 0 ? 0 : random.below(pick(5, 400)))),
    latencyMs: [1 + random.below(3), pick(1, 4, 12)],
    shardMs: [2 + random.below(8), pick(1, 10, 40)],
    callbackMs: pick(0, 2, 5, 200),
    dataMs: pick(0, 1, 6, 200),
    diskMs: pick(0.3, 1, 4),
    everySteps: pick(4, 8, 12),
    restartMs: 50 + random.below(1_000),
    auditFraction: hasWrongResults ? 1 : ([1, 0.5][random.below(12)] ?? 0),
    faults,
  };
}
