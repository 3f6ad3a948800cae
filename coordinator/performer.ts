import { assertNever, invariant } from '../shared/errors.js';
import type { ShardRange } from '../shared/tree.js';
import type { ActiveRound, ShardResult } from './active-round.js';
import type { ConductorOptions } from './conductor-options.js';
import type { RunEffect, StopCause } from './core/run.js';
import { errorOf } from './core/stop-error.js';
import type { ReadyGate } from './ready-gate.js';
import type { RemoteWorker } from './server/remote-worker.js';
import type { Roster } from './server/roster.js';

export interface PerformerOptions extends Pick<ConductorOptions, 'clock'> {
  readonly roster: Roster;
  readonly gate: ReadyGate;
  /** A worker that was sent away is gone. */
  readonly onGone: (remote: RemoteWorker, reason: string) => void;
}

/** Carries out what the core decides: orders, sums, rejections, evictions. It holds the round in flight. */
export class Performer {
  readonly #options: PerformerOptions;
  #active: ActiveRound | null = null;
  #shardsRecomputed = 0;

  constructor(options: PerformerOptions) {
    this.#options = options;
  }

  /** The round in flight; null between rounds. */
  get active(): ActiveRound | null {
    return this.#active;
  }

  /** Shards that were assigned again because the worker that held them was lost. */
  get shardsRecomputed(): number {
    return this.#shardsRecomputed;
  }

  begin(active: ActiveRound): void {
    invariant(this.#active === null, 'two rounds at a time');
    this.#active = active;
  }

  /** @param incoming what the worker's message carried, where the effect is due to one */
  perform(effect: RunEffect, incoming: ShardResult | null): void {
    const { roster, clock, onGone } = this.#options;
    switch (effect.type) {
      case 'compute':
        return this.#round.order(roster.of(effect.worker), effect.range, clock);
      case 'accept':
        invariant(incoming !== null, 'accepted what did not come');
        return this.#accept(roster.of(effect.worker), effect.range, incoming);
      case 'reject':
        return roster.of(effect.worker).reject(effect.code);
      case 'complete':
        return this.#finish();
      case 'recompute':
        this.#shardsRecomputed += effect.shards;
        return;
      case 'evict': {
        const remote = roster.of(effect.worker);
        remote.close('silent', effect.reason);
        return onGone(remote, effect.reason);
      }
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

  #accept(remote: RemoteWorker, range: ShardRange, result: ShardResult): void {
    remote.credit(range.hi - range.lo, result.computeMs);
    this.#round.accept(remote.worker, range, result, this.#options.clock);
  }

  #finish(): void {
    const active = this.#round;
    this.#active = null;
    for (const remote of this.#options.roster.here) remote.forget(active.request.spec.id);
    active.complete(this.#options.clock.nowMs());
  }

  #stop(cause: StopCause): void {
    for (const remote of this.#options.roster.here) remote.close('failed', cause.message);
    const error = errorOf(cause);
    this.#options.gate.fail(error);
    this.#active?.fail(error);
    this.#active = null;
  }
}
