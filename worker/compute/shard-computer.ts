import { type Clock, systemClock } from '../../shared/clock.js';
import type { Digest } from '../../shared/digest.js';
import { invariant, LockstepError, messageOf } from '../../shared/errors.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import type { ShardPartial } from '../../shared/partial.js';
import type { ShardProgram, ShardTask } from '../../shared/program.js';
import { cutToText } from '../../shared/protocol/fields.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { concatRows, type HostTensor } from '../../shared/tensors.js';
import { type ShardRange, subtreesOf } from '../../shared/tree.js';
import { loadBackend } from '../backend/select.js';
import type { FromThread, ToThread } from '../thread-messages.js';
import { ThreadSignals } from '../thread-signals.js';
import type { Canary } from './canary.js';
import { createProgram } from './create-program.js';
import { gradientDigests } from './gradient-digests.js';
import { jobFunctions } from './job-functions.js';
import { type PreparedProgram, type ProgramPorts, prepareProgram } from './prepare-program.js';
import { ShardStore } from './shard-store.js';
import { sumSubtree } from './subtree-sum.js';

/** What executes the shards, and the time it takes by; a simulation has its own. */
export interface ComputePorts extends ProgramPorts {
  readonly clock: Clock;
}

export const realPorts: ComputePorts = { loadBackend, createProgram, clock: systemClock };

interface KnownProgram extends PreparedProgram {
  /**
   * What it is the answer to: what was asked for, and the same with the backend that was chosen, for which a worker is
   * asked that comes back.
   */
  readonly keys: readonly string[];
  readonly canaryResult: Canary | null;
}

/**
 * What the compute thread does: it builds the program once, then computes the shards it is asked for and sends
 * what they add up to. Messages must be handled one at a time, in order.
 */
export class ShardComputer {
  readonly #send: (message: FromThread) => void;
  readonly #ports: ComputePorts;
  readonly #store = new ShardStore();
  readonly #signals: ThreadSignals;
  /** Resets that were handled. */
  #resets = 0;
  #built: KnownProgram | null = null;
  /** The shard that it computes, or computed last, of the present order; null before the first. */
  #shard: number | null = null;

  /** @param signals what the other thread says while this one computes */
  constructor(
    send: (message: FromThread) => void,
    ports: ComputePorts = realPorts,
    signals = new ThreadSignals(),
  ) {
    this.#send = send;
    this.#ports = ports;
    this.#signals = signals;
  }

  /** Never throws: what goes wrong is sent as `failed`. */
  async handle(message: ToThread): Promise<void> {
    if (message.type === 'reset') return this.#reset();
    if (this.#isAbandoned) return;
    try {
      await this.#handle(message);
    } catch (error) {
      const { code, hint } =
        error instanceof LockstepError
          ? error
          : { code: 'WORKER_FAILED' as const, hint: 'Look at the model and at custom code in the job.' };
      const text = cutToText(messageOf(error));
      if (message.type !== 'compute') {
        return this.#send({ type: 'failed', order: null, shard: null, code, message: text, hint });
      }
      const { round, lo, hi } = message.compute;
      const order = { round, lo, hi };
      this.#send({ type: 'failed', order, shard: this.#shard, code, message: text, hint });
      // Nothing more comes of the order: a worker that is to leave once it is finished can go.
      this.#finish(message.compute);
    }
  }

  /** Whether a reset is on its way: nothing that came before it is wanted. */
  get #isAbandoned(): boolean {
    return this.#signals.resets > this.#resets;
  }

  /** Forgets what it was sent and keeps what it has built: a worker that lost its connection most often comes back. */
  #reset(): void {
    this.#resets += 1;
    this.#store.clear();
    this.#send({ type: 'reset' });
  }

  async #handle(message: Exclude<ToThread, { type: 'reset' }>): Promise<void> {
    switch (message.type) {
      case 'setup':
        return this.#setup(message.setup, message.jobPath);
      case 'weights':
        return this.#program.setWeights(message.flat);
      case 'data':
        return this.#store.put(message.round, message.shard, message.data);
      case 'compute':
        return this.#compute(message.compute);
      case 'cancel':
        return this.#store.drop(message.round);
    }
  }

  get #program(): ShardProgram {
    invariant(this.#built !== null, 'the program is used before setup');
    return this.#built.program;
  }

  async #setup(setup: ToWorkerOf<'setup'>, jobPath: string | null): Promise<void> {
    this.#store.clear();
    const known = await this.#prepared(setup, jobPath);
    const { manifest, rows, fingerprint, canaryResult: canary, fallback } = known;
    const model = { weights: manifest.totalSize, ...rows };
    const hash = manifestHash(manifest);
    this.#send({ type: 'ready', manifestHash: hash, fingerprint, canary, fallback, model });
  }

  /** The program that was built last, if it is what is asked for, or else another. */
  async #prepared(setup: ToWorkerOf<'setup'>, jobPath: string | null): Promise<KnownProgram> {
    const { program: spec, jobSha256, threads, backend, canary: wanted } = setup;
    const keyOn = (on: string): string => JSON.stringify([spec, jobSha256, threads, wanted, on]);
    if (this.#built?.keys.includes(keyOn(backend))) return this.#built;
    this.#built?.program.dispose();
    this.#built = null;
    const functions = await jobFunctions(jobPath, jobSha256);
    const built = await prepareProgram(setup, functions, this.#ports);
    const canary = wanted === null ? null : await built.canary?.(wanted.rows, this.#ports.clock);
    const keys = [backend, built.fingerprint.backend].map(keyOn);
    this.#built = { ...built, keys, canaryResult: canary ?? null };
    return this.#built;
  }

  async #compute(order: ToWorkerOf<'compute'>): Promise<void> {
    const { round, lo, hi } = order;
    this.#shard = null;
    this.#store.dropBefore(round);
    try {
      for (const range of subtreesOf({ lo, hi }, order.shards)) await this.#computeSubtree(order, range);
    } catch (error) {
      if (!(error instanceof UnwantedError)) throw error;
    }
    this.#finish(order);
  }

  #finish({ round, lo, hi }: ToWorkerOf<'compute'>): void {
    this.#send({ type: 'finished', order: { round, lo, hi } });
  }

  async #computeSubtree(order: ToWorkerOf<'compute'>, range: ShardRange): Promise<void> {
    const { round, kind, digest } = order;
    const program = this.#program;
    const { clock } = this.#ports;
    const startedMs = clock.nowMs();
    if (kind === 'predict') {
      const outputs: HostTensor[][] = [];
      for (let shard = range.lo; shard < range.hi; shard++)
        outputs.push(await program.predict(this.#begin(order, shard).data.x));
      const tensors = outputs[0].map((_, output) =>
        concatRows(outputs.map((shardOutputs) => shardOutputs[output])),
      );
      this.#send({ type: 'outputs', round, ...range, computeMs: clock.nowMs() - startedMs, tensors });
      return;
    }
    const digests: { shard: number; variables: Digest[] }[] = [];
    const manifest = digest ? (this.#built?.manifest ?? null) : null;
    const compute = async (shard: number): Promise<ShardPartial> => {
      const own = await program[kind](this.#begin(order, shard));
      if (manifest !== null) digests.push({ shard, variables: gradientDigests(manifest, own.gradient) });
      return own;
    };
    const partial = await sumSubtree(range, compute, (gradient) => program.recycle?.(gradient));
    const computeMs = clock.nowMs() - startedMs;
    this.#send({ type: 'partial', round, ...range, computeMs, partial, digests });
  }

  /** @throws UnwantedError between two shards of an order that has become of no use */
  #begin({ round, step, batchRows }: ToWorkerOf<'compute'>, shard: number): ShardTask {
    if (this.#isAbandoned || this.#signals.isCancelled(round)) throw new UnwantedError();
    this.#shard = shard;
    this.#send({ type: 'computing', round, shard });
    return { step, shard, batchRows, data: this.#store.get(round, shard) };
  }
}

/** Nobody waits for the rest of an order. */
class UnwantedError extends Error {}
