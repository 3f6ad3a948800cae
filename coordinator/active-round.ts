import type { Clock } from '../shared/clock.js';
import type { Digest } from '../shared/digest.js';
import { invariant } from '../shared/errors.js';
import type { ShardPartial } from '../shared/partial.js';
import { type SealedPayload, sealPayload } from '../shared/protocol/frame.js';
import type { RunPoint, RunPointListener } from '../shared/run-point.js';
import { bytesOf, type HostTensor } from '../shared/tensors.js';
import type { ShardRange } from '../shared/tree.js';
import type { StopCause } from './core/run.js';
import { PartialTree } from './reduce/partial-tree.js';
import type { RoundOutcome, RoundRequest } from './round.js';
import type { RemoteWorker } from './server/remote-worker.js';

/** What a worker sent for a range of shards: a partial, or a prediction's outputs. */
export interface ShardResult {
  readonly partial: ShardPartial | null;
  readonly outputs: readonly HostTensor[] | null;
  readonly computeMs: number;
  /** Of the shards' own gradients, if the round asks for them: one per trainable variable. */
  readonly digests: readonly { readonly shard: number; readonly variables: readonly Digest[] }[];
}

/** The round in flight: its results so far, and whom to tell when it ends. */
export class ActiveRound {
  readonly request: RoundRequest;
  readonly startedMs: number;
  #tree: PartialTree;
  readonly #outputs = new Map<number, readonly HostTensor[]>();
  readonly #computeMs = new Map<number, number>();
  readonly #digests = new Map<number, readonly Digest[]>();
  /** Answers that others must confirm first, by shard range and worker. */
  readonly #kept = new Map<string, ShardResult>();
  #sealed: SealedPayload | null = null;
  /** Of the results accepted; null before the first. */
  #form: string | null = null;
  #broadcastMs = 0;
  #reduceMs = 0;
  readonly #resolve: (outcome: RoundOutcome) => void;
  readonly #reject: (error: Error) => void;
  readonly #onPoint: RunPointListener;

  /** @param onPoint told where a step of training is */
  constructor(
    request: RoundRequest,
    startedMs: number,
    settle: { resolve: (outcome: RoundOutcome) => void; reject: (error: Error) => void },
    onPoint: RunPointListener = () => {},
  ) {
    this.request = request;
    this.startedMs = startedMs;
    this.#tree = new PartialTree(request.spec.shards, request.spec.present);
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    this.#onPoint = onPoint;
    this.#at('idle');
  }

  order(remote: RemoteWorker, range: ShardRange, clock: Clock): void {
    const startedMs = clock.nowMs();
    const { weights } = this.request;
    if (remote.weightsVersion !== weights.version) {
      // Sealed once for all workers: the checksum costs as much as handing the weights to the network.
      this.#sealed ??= sealPayload([bytesOf(weights.flat)]);
      remote.sendWeights(weights.version, this.#sealed, weights.lend());
    }
    remote.order(this.request, range, startedMs);
    this.#broadcastMs += clock.nowMs() - startedMs;
    this.#at('dispatch', remote.worker, range);
  }

  /** Whether a result can be put together with those accepted before it. */
  fits(range: ShardRange, result: ShardResult): boolean {
    if (this.#form !== null && this.#form !== formOf(result)) return false;
    const { plan } = this.request.data;
    const rows = plan.rowsOf(range.hi - 1).hi - plan.rowsOf(range.lo).lo;
    return result.outputs?.every(({ shape }) => shape[0] === rows) ?? true;
  }

  /** Holds an answer that another worker must confirm. */
  keep(worker: number, range: ShardRange, result: ShardResult): void {
    this.#kept.set(keyOf(worker, range), result);
  }

  /** Adds an answer to the sum: the one that was kept, else the one that has just come. */
  accept(worker: number, range: ShardRange, incoming: ShardResult | null, clock: Clock): void {
    const accepted = this.#kept.get(keyOf(worker, range)) ?? incoming;
    invariant(accepted !== null, `nothing of worker ${worker} was kept`);
    for (const key of [...this.#kept.keys()]) if (key.startsWith(`${range.lo} `)) this.#kept.delete(key);
    this.#add(worker, range, accepted, clock);
  }

  /** Forgets what was accepted: some of it is wrong, and what is summed cannot be taken apart. */
  restart(): void {
    const { shards, present } = this.request.spec;
    this.#tree = new PartialTree(shards, present);
    this.#outputs.clear();
    this.#form = null;
  }

  #add(worker: number, range: ShardRange, result: ShardResult, clock: Clock): void {
    const startedMs = clock.nowMs();
    const { partial, outputs, computeMs, digests } = result;
    this.#form ??= formOf(result);
    this.#computeMs.set(worker, (this.#computeMs.get(worker) ?? 0) + computeMs);
    for (const { shard, variables } of digests) this.#digests.set(shard, variables);
    if (partial !== null) this.#tree.add(range, partial);
    if (outputs !== null) this.#outputs.set(range.lo, outputs);
    this.#reduceMs += clock.nowMs() - startedMs;
    this.#at('reducing', worker, range);
  }

  complete(nowMs: number): void {
    this.#at('committing');
    const inOrder = [...this.#outputs.entries()].sort(([a], [b]) => a - b);
    this.#resolve({
      sum: this.request.spec.kind === 'predict' ? null : this.#tree.root,
      outputs: inOrder.map(([, tensors]) => tensors),
      digests: this.#digests,
      roundMs: nowMs - this.startedMs,
      computeMs: Math.max(0, ...this.#computeMs.values()),
      broadcastMs: this.#broadcastMs,
      reduceMs: this.#reduceMs,
    });
  }

  /** The cause of a stop, with the batch and the samples of the shard that it is about. */
  locate(cause: StopCause): StopCause {
    const { at } = cause;
    const { spec, name, data, indices } = this.request;
    if (at === undefined || at.spec.id !== spec.id) return cause;
    const { lo, hi } = data.plan.rowsOf(at.shard);
    const rows = `rows ${lo} to ${hi - 1} of ${name}`;
    const named = indices === null ? '' : `; of the dataset: ${listOf([...indices.subarray(lo, hi)])}`;
    return { ...cause, message: `${cause.message} (${rows}${named})` };
  }

  fail(error: Error): void {
    this.#reject(error);
  }

  #at(phase: RunPoint['phase'], worker: number | null = null, range: ShardRange = { lo: 0, hi: 0 }): void {
    const { spec } = this.request;
    if (spec.kind === 'train') this.#onPoint({ phase, step: spec.step, worker, shards: range.hi - range.lo });
  }
}

const maxListed = 20;

function listOf(rows: readonly number[]): string {
  const listed = rows.slice(0, maxListed).join(', ');
  return rows.length > maxListed ? `${listed} and ${rows.length - maxListed} more` : listed;
}

const keyOf = (worker: number, { lo }: ShardRange): string => `${lo} ${worker}`;

/** What is the same for all shards of a batch: the BatchNorm layers they call in order, or the rows of the outputs. */
function formOf({ partial, outputs }: ShardResult): string {
  if (partial !== null) return partial.moments.map(({ batchNorm }) => batchNorm).join();
  return (outputs ?? []).map(({ dtype, shape }) => `${dtype}[${shape.slice(1)}]`).join();
}
