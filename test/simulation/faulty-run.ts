import { strict as assert } from 'node:assert';
import { type RoundSpec, shardStatuses } from '../../coordinator/core/round.js';
import {
  candidates,
  defaultLimits,
  initialState,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type RunState,
  transition,
} from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { PartialTree } from '../../coordinator/reduce/partial-tree.js';
import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { deriveSeed, Random } from '../../shared/random.js';
import { type ShardRange, subtreesOf, sumTree } from '../../shared/tree.js';
import { bitsOf, payloadOf } from './payload.js';
import { VirtualClock } from './virtual-clock.js';
import { type Weather, weatherOf } from './weather.js';

const limits: RunLimits = {
  ...defaultLimits,
  silenceMs: 5_000,
  prepareMs: 20_000,
  withoutWorkersMs: 60_000,
  lossesPerShard: 1_000,
};
const tickMs = 500;
const heartbeatMs = 1_000;
/** No run of a few short rounds may take longer than this, whatever happens to it. */
const deadlineMs = 30 * 60_000;

/** What happened in a simulated run. */
export interface FaultyRunReport {
  readonly rounds: number;
  readonly joined: number;
  readonly lost: number;
  readonly evicted: number;
  readonly rejected: number;
  readonly recomputed: number;
  readonly virtualMs: number;
}

interface Partial {
  readonly roundId: number;
  readonly range: ShardRange;
}

interface SimulatedWorker {
  readonly number: number;
  /** `silent`: it computes, but nothing that it says arrives until long after. */
  phase: 'alive' | 'silent' | 'dead';
  readonly orders: Partial[];
  isComputing: boolean;
  readonly sent: Partial[];
}

/**
 * The coordinator's core in a world that goes wrong: workers join, die, fall silent and come back; partials are lost,
 * duplicated, late, stale or invented. Payloads are real vectors. Everything follows from the seed.
 */
export class FaultyRun {
  readonly #seed: number;
  readonly #random: Random;
  readonly #trace: ((line: string) => void) | null;
  readonly #clock = new VirtualClock();
  readonly #workers: SimulatedWorker[] = [];
  readonly #weather: Weather;
  readonly #rounds: RoundSpec[];
  #state: RunState = initialState(0);
  #at = -1;
  #tree = new PartialTree(1, 1);
  /** Per present shard of the round, how often it was accepted. */
  #accepted: number[] = [];
  readonly #counts = { lost: 0, evicted: 0, rejected: 0, recomputed: 0 };

  constructor(seed: number, trace: ((line: string) => void) | null = null) {
    this.#seed = seed;
    this.#trace = trace;
    this.#random = new Random(deriveSeed(seed, 'test'));
    const random = this.#random;
    this.#weather = weatherOf(random);
    const shards = 1 + random.below(12);
    this.#rounds = Array.from({ length: 1 + random.below(5) }, (_, i) => {
      // Rounds that were prepared and never begun leave gaps in the numbers.
      const id = 1 + 2 * i + random.below(2);
      const present = 1 + random.below(shards);
      return { id, kind: 'train', step: i, shards, present, rowsPerShard: 8, audited: [] };
    });
  }

  /** Runs until every round is complete. Throws what would be wrong, e.g. an AssertionError. */
  run(): FaultyRunReport {
    const random = this.#random;
    this.#clock.every(tickMs, () => this.#step({ type: 'tick' }));
    this.#join();
    for (let more = random.below(4); more > 0; more--) {
      this.#clock.after(random.below(8_000), () => this.#join());
    }
    this.#beginNext();
    while (this.#at < this.#rounds.length) {
      assert(this.#clock.advance(), 'nothing is left to happen');
      const waiting = waitingFor(this.#state, this.#clock.nowMs(), limits);
      assert(this.#clock.nowMs() < deadlineMs, `still not done: ${waiting ?? 'waits for nothing'}`);
    }
    const { lost, evicted, rejected, recomputed } = this.#counts;
    const rounds = this.#rounds.length;
    const joined = this.#workers.length;
    return { rounds, joined, lost, evicted, rejected, recomputed, virtualMs: this.#clock.nowMs() };
  }

  #happens(chance: number): boolean {
    return this.#random.next() < chance;
  }

  #latencyMs(): number {
    // Mostly short, sometimes long enough for others to be lost meanwhile.
    return this.#random.below(this.#happens(0.1) ? 3_000 : 100);
  }

  #join(): void {
    const worker: SimulatedWorker = {
      number: this.#workers.length,
      phase: 'alive',
      orders: [],
      isComputing: false,
      sent: [],
    };
    this.#workers.push(worker);
    this.#step({ type: 'joined', worker: worker.number });
    this.#step({ type: 'preparing', worker: worker.number });
    this.#clock.after(this.#latencyMs(), () =>
      this.#say(worker, { type: 'ready', worker: worker.number, canaryMs: null }),
    );
    const stop = this.#clock.every(heartbeatMs, () => {
      if (worker.phase === 'dead') stop();
      else this.#say(worker, { type: 'heard', worker: worker.number });
    });
  }

  /** What a worker says, if it comes through: a silent worker's words arrive when they are long stale. */
  #say(worker: SimulatedWorker, input: RunInput): void {
    if (worker.phase === 'alive') return this.#step(input);
    if (worker.phase === 'silent' && input.type === 'partial') {
      this.#clock.after(limits.silenceMs + this.#random.below(5_000), () => this.#step(input));
    }
  }

  #die(worker: SimulatedWorker): void {
    worker.phase = 'dead';
    this.#counts.lost += 1;
    const { number } = worker;
    this.#clock.after(this.#latencyMs(), () => this.#step({ type: 'left', worker: number, reason: 'died' }));
    this.#clock.after(this.#random.below(10_000), () => this.#join());
  }

  #beginNext(): void {
    this.#at += 1;
    const round = this.#rounds[this.#at];
    if (round === undefined) return;
    this.#tree = new PartialTree(round.shards, round.present);
    this.#accepted = new Array<number>(round.present).fill(0);
    this.#step({ type: 'begin', round });
  }

  #step(input: RunInput): void {
    const nowMs = this.#clock.nowMs();
    const [state, effects] = transition(this.#state, input, nowMs, limits);
    this.#state = state;
    this.#trace?.(`${(nowMs / 1_000).toFixed(3)} s  ${JSON.stringify(input)} → ${JSON.stringify(effects)}`);
    for (const effect of effects) this.#perform(effect, input);
    this.#check();
  }

  #perform(effect: RunEffect, input: RunInput): void {
    switch (effect.type) {
      case 'compute': {
        const worker = this.#workers[effect.worker];
        worker.orders.push({ roundId: effect.roundId, range: effect.range });
        if (!worker.isComputing) this.#computeNext(worker);
        return;
      }
      case 'accept':
        assert(input.type === 'partial', 'accepted what is no partial');
        assert.equal(input.roundId, this.#rounds[this.#at].id, 'accepted a partial of another round');
        for (let shard = effect.range.lo; shard < effect.range.hi; shard++) this.#accepted[shard] += 1;
        this.#tree.add(effect.range, this.#sum(input.roundId, effect.range));
        return;
      case 'complete': {
        const { id, shards } = this.#rounds[this.#at];
        assert.equal(effect.roundId, id);
        assert(
          this.#accepted.every((count) => count === 1),
          `completed with shards accepted ${this.#accepted.join()}`,
        );
        assert.equal(bitsOf(this.#tree.root), bitsOf(this.#sum(id, { lo: 0, hi: shards })), 'other bits');
        this.#clock.after(this.#random.below(200), () => this.#beginNext());
        return;
      }
      case 'evict': {
        this.#counts.evicted += 1;
        const worker = this.#workers[effect.worker];
        if (worker.phase === 'silent') this.#clock.after(this.#random.below(3_000), () => this.#join());
        worker.phase = 'dead';
        return;
      }
      case 'reject':
        this.#counts.rejected += 1;
        return;
      case 'credit':
        return;
      case 'keep':
      case 'restart':
      case 'disagreement':
      case 'unconfirmed':
      case 'exclude':
        return assert.fail(`${effect.type}, although every partial is right`);
      case 'recompute':
        this.#counts.recomputed += effect.shards;
        return;
      case 'stop':
        assert.fail(`the run stopped: ${effect.cause.message}`);
    }
  }

  /** The worker computes its orders one by one, each subtree in turn, and sends each as soon as it is done. */
  #computeNext(worker: SimulatedWorker): void {
    const order = worker.orders.shift();
    worker.isComputing = order !== undefined;
    if (order === undefined) return;
    const { shards } = this.#rounds[this.#at];
    const subtrees = subtreesOf(order.range, shards);
    const next = (): void => {
      const range = subtrees.shift();
      if (worker.phase === 'dead') return;
      if (range === undefined) return this.#computeNext(worker);
      this.#clock.after((range.hi - range.lo) * (50 + this.#random.below(500)), () => {
        if (worker.phase === 'dead') return;
        if (this.#happens(this.#weather.death)) return this.#die(worker);
        if (this.#happens(this.#weather.silence)) worker.phase = 'silent';
        this.#send(worker, { roundId: order.roundId, range });
        next();
      });
    };
    next();
  }

  #send(worker: SimulatedWorker, partial: Partial): void {
    const deliver = ({ roundId, range }: Partial): void => {
      this.#clock.after(this.#latencyMs(), () =>
        this.#say(worker, {
          type: 'partial',
          worker: worker.number,
          roundId,
          range,
          // Whoever computes it, the same bits come of it.
          digest: `${roundId}: ${range.lo}-${range.hi}`,
          finite: true,
        }),
      );
    };
    // A partial that is lost on the line takes the connection with it.
    if (this.#happens(this.#weather.lostOnLine)) return this.#die(worker);
    deliver(partial);
    worker.sent.push(partial);
    if (this.#happens(this.#weather.duplicate)) deliver(partial);
    if (this.#happens(this.#weather.stale)) deliver(worker.sent[this.#random.below(worker.sent.length)]);
    if (this.#happens(this.#weather.nonsense)) deliver(this.#nonsense(partial.roundId));
  }

  /** Any shards of a round that is over, or of this round a range that nobody can hold. */
  #nonsense(roundId: number): Partial {
    const { shards, present } = this.#rounds[this.#at];
    const lo = this.#random.below(shards);
    const length = this.#random.below(shards + 2) - 1;
    if (this.#happens(0.5)) return { roundId: roundId - 1, range: { lo, hi: lo + length } };
    const hi = length > 0 ? present + length : lo + length;
    return { roundId, range: { lo, hi } };
  }

  /** What must hold at any time. */
  #check(): void {
    const nowMs = this.#clock.nowMs();
    const isWorking = this.#state.phase === 'working';
    assert.equal(
      typeof waitingFor(this.#state, nowMs, limits),
      isWorking ? 'string' : 'object',
      'waits without a reason',
    );
    assert(
      this.#accepted.every((count) => count <= 1),
      'a shard was accepted twice',
    );
    if (this.#state.phase !== 'working') return;
    const { round } = this.#state;
    const statuses = shardStatuses(round);
    const busy = new Set(round.units.flatMap(({ holders }) => holders.map(({ worker }) => worker)));
    for (const worker of busy) assert(this.#state.members.has(worker), `lost worker ${worker} holds a shard`);
    const idle = candidates(this.#state).filter((worker) => !busy.has(worker));
    const isPending = statuses.some(({ status }) => status === 'pending');
    assert(!isPending || idle.length === 0, `a shard waits although worker ${idle[0]} is idle`);
    statuses.forEach(({ status }, shard) => {
      assert.equal(status === 'done', this.#accepted[shard] === 1, `shard ${shard} is ${status}`);
    });
  }

  /** What the shards of a range add up to when nothing goes wrong; a copy. */
  #sum(roundId: number, range: ShardRange): ShardPartial {
    const { present } = this.#rounds[this.#at];
    const sum = sumTree(
      range,
      (shard) => (shard < present ? payloadOf(this.#seed, roundId, shard) : null),
      addPartials,
    );
    assert(sum !== null);
    return sum;
  }
}
