import { assertNever, invariant } from '../shared/errors.js';
import type { ActiveRound, ShardResult } from './active-round.js';
import type { ConductorOptions } from './conductor-options.js';
import { nameOfRound, nameOfShards, nameOfWorkers } from './core/describe.js';
import { sizeOf } from './core/round.js';
import type { RunEffect, StopCause } from './core/run.js';
import { errorOf, partingCode } from './core/stop-error.js';
import { FaultCounts } from './fault-counts.js';
import type { ReadyGate } from './ready-gate.js';
import type { RemoteWorker } from './server/remote-worker.js';
import type { Roster } from './server/roster.js';

export interface PerformerOptions extends Pick<ConductorOptions, 'clock'> {
  readonly roster: Roster;
  readonly gate: ReadyGate;
  readonly warn: (message: string) => void;
  /** Sends a worker away that broke the rules, and takes it out. */
  readonly refuse: (
    remote: RemoteWorker,
    code: 'not_assigned' | 'wrong_result' | 'failed',
    why: string,
  ) => void;
  /** A worker that was sent away is gone. */
  readonly onGone: (remote: RemoteWorker, reason: string) => void;
}

/** Carries out what the core decides: orders, sums, rejections, evictions. It holds the round in flight. */
export class Performer {
  readonly counts = new FaultCounts();
  readonly #options: PerformerOptions;
  readonly #warned = new Set<string>();
  #active: ActiveRound | null = null;

  constructor(options: PerformerOptions) {
    this.#options = options;
  }

  /** The round in flight; null between rounds. */
  get active(): ActiveRound | null {
    return this.#active;
  }

  begin(active: ActiveRound): void {
    invariant(this.#active === null, 'two rounds at a time');
    this.#active = active;
  }

  /** @param incoming what the worker's message carried, where the effect is due to one */
  perform(effect: RunEffect, incoming: ShardResult | null): void {
    const { roster, clock } = this.#options;
    switch (effect.type) {
      case 'compute':
        this.counts.order(effect.why, sizeOf(effect.range));
        return this.#round.order(roster.of(effect.worker), effect.range, clock);
      case 'credit':
        invariant(incoming !== null, 'credited what did not come');
        return roster.of(effect.worker).credit(effect.range, incoming.computeMs, clock.nowMs());
      case 'keep':
        invariant(incoming !== null, 'kept what did not come');
        return this.#round.keep(effect.worker, effect.range, incoming);
      case 'accept':
        return this.#round.accept(effect.worker, effect.range, incoming, clock);
      case 'restart':
        return this.#round.restart();
      case 'reject': {
        const remote = roster.of(effect.worker);
        if (remote.reject(effect.code)) return;
        return this.#options.refuse(remote, 'not_assigned', 'it goes on sending what nobody asked it for');
      }
      case 'complete':
        return this.#finish();
      case 'recompute':
        this.counts.recomputed += effect.shards;
        return;
      case 'disagreement': {
        this.counts.disagreements += 1;
        const { spec, range } = effect.unit;
        const who = nameOfWorkers(effect.workers);
        return this.#options.warn(
          `${who} gave different bits for ${nameOfShards(range)} of ${nameOfRound(spec)}`,
        );
      }
      case 'unconfirmed':
        return this.#warnUnconfirmed(effect);
      case 'evict': {
        const remote = roster.of(effect.worker);
        remote.close('silent', effect.reason);
        return this.#options.onGone(remote, effect.reason);
      }
      case 'exclude':
        return this.#exclude(effect);
      case 'doubt':
        return this.#warnFailed(effect);
      case 'dismiss':
        return this.#dismiss(effect);
      case 'stop':
        return this.#stop(effect.cause);
      default:
        return assertNever(effect);
    }
  }

  get #round(): ActiveRound {
    invariant(this.#active !== null, 'no round is in flight');
    return this.#active;
  }

  #exclude({ worker, unit, by }: Extract<RunEffect, { type: 'exclude' }>): void {
    const remote = this.#options.roster.of(worker);
    const { spec, range } = unit;
    const { step } = spec;
    const what = `${nameOfShards(range)} of ${nameOfRound(spec)}`;
    this.counts.exclude({ worker, host: remote.row?.host ?? remote.address, step, shard: range.lo });
    const why = `it computed other bits for ${what} than ${nameOfWorkers(by)}, which agree; what it sent before this step stays in the run`;
    this.#options.refuse(remote, 'wrong_result', why);
  }

  #warnFailed({ spec, failure }: Extract<RunEffect, { type: 'doubt' }>): void {
    const { worker, shard, message } = failure;
    this.#options.warn(
      `worker ${worker} failed at shard ${shard} of ${nameOfRound(spec)}, and another is to try it: ${message}`,
    );
  }

  #dismiss({ spec, failure, by }: Extract<RunEffect, { type: 'dismiss' }>): void {
    const { worker, shard, message } = failure;
    const why = `it failed at shard ${shard} of ${nameOfRound(spec)}, which worker ${by} has computed: ${message}`;
    this.#options.refuse(this.#options.roster.of(worker), 'failed', why);
  }

  #warnUnconfirmed({ worker, unit, finite }: Extract<RunEffect, { type: 'unconfirmed' }>): void {
    const { spec, range } = unit;
    if (!finite) {
      const what = `${nameOfShards(range)} of ${nameOfRound(spec)}`;
      return this.#options.warn(
        `worker ${worker} gave NaN or Inf for ${what}, and no other worker can check it`,
      );
    }
    // A run with one worker would say so at every step.
    if (this.#warned.has('audit')) return;
    this.#warned.add('audit');
    this.#options.warn(
      `${nameOfShards(range)} of ${nameOfRound(spec)} was to be computed twice, but no other worker can; so it is with all shards until there is one`,
    );
  }

  #finish(): void {
    const active = this.#round;
    this.#active = null;
    for (const remote of this.#options.roster.here) remote.forget(active.request.spec.id);
    active.complete(this.#options.clock.nowMs());
  }

  #stop(cause: StopCause): void {
    for (const remote of this.#options.roster.here) remote.close(partingCode(cause), cause.message);
    const error = errorOf(this.#active?.locate(cause) ?? cause);
    this.#options.gate.fail(error);
    this.#active?.fail(error);
    this.#active = null;
  }
}
