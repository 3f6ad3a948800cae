import type { Clock } from '../shared/clock.js';
import { assertNever, invariant } from '../shared/errors.js';
import { Mailbox } from '../shared/mailbox.js';
import type { RejectCode } from '../shared/protocol/reject.js';
import type { CoordinatorSession } from '../shared/protocol/session.js';
import type { ToCoordinator, ToCoordinatorOf } from '../shared/protocol/to-coordinator.js';
import { ActiveRound, type ShardResult } from './active-round.js';
import { claimOf } from './claim.js';
import type { ConductorOptions } from './conductor-options.js';
import { candidates, initialState, readyWorkers, transition } from './core/run.js';
import type { RunInput, RunState, StopCause } from './core/run-state.js';
import { splitRound } from './core/split.js';
import { stopError } from './core/stop-error.js';
import { Enrolment } from './enrolment.js';
import type { FaultCounts } from './fault-counts.js';
import { OutsideWait } from './outside-wait.js';
import { Performer } from './performer.js';
import { ReadyGate } from './ready-gate.js';
import type { ProgramSetup, RoundOutcome, RoundPlan, RoundRequest, WorkerTally } from './round.js';
import type { RunReference } from './server/admission.js';
import { readResult } from './server/incoming.js';
import { RemoteWorker } from './server/remote-worker.js';
import { Roster } from './server/roster.js';
import { type ClusterStatus, statusOf } from './status.js';
import { clusterWasClosed, noWorkerIsLeft } from './stop-causes.js';
import { WaitingReporter } from './waiting-reporter.js';

const tickMs = 250;

/**
 * The coordinator's actor: it owns the workers' connections and carries out what the core decides. Messages
 * of workers, requests of the training loop and the clock all go through one mailbox.
 */
export class Conductor {
  /** For the loops that give it work. */
  readonly outside: OutsideWait;
  readonly #options: ConductorOptions;
  readonly #mailbox: Mailbox<RunInput>;
  readonly #roster: Roster;
  readonly #stopTicking: () => void;
  readonly #gate: ReadyGate;
  readonly #enrolment: Enrolment;
  readonly #waiting: WaitingReporter;
  readonly #performer: Performer;
  #state: RunState;
  /** The payload of the partial being handled: inputs of the core carry no tensors. */
  #incoming: ShardResult | null = null;
  #roundId = 0;

  constructor(options: ConductorOptions) {
    this.#options = options;
    this.outside = new OutsideWait(options.clock);
    this.#roster = new Roster(options.clock);
    this.#gate = new ReadyGate(options.clock);
    this.#waiting = new WaitingReporter(options.onEvent, options.limits);
    this.#enrolment = new Enrolment({
      ...options,
      post: (input) => this.#mailbox.post(input),
      readyCount: () => this.readyCount,
      refuse: (remote, code, why) => this.#refuse(remote, code, why),
      stop: (cause) => this.stop(cause),
      excludedFrom: (host) => this.counts.excluded.findLast((excluded) => excluded.host === host),
    });
    this.#performer = new Performer({
      clock: options.clock,
      roster: this.#roster,
      gate: this.#gate,
      warn: (message) => options.onEvent({ type: 'warning', message }),
      refuse: (remote, code, why) => this.#refuse(remote, code, why),
      onGone: (remote, reason) => this.#sendAway(remote, reason),
    });
    this.#state = initialState(this.#options.clock.nowMs());
    const handle = (input: RunInput): void => this.#step(input);
    this.#mailbox = new Mailbox({ name: 'conductor', capacity: 10_000, handle });
    this.#stopTicking = this.#options.clock.every(tickMs, () => this.#tick());
  }

  /** Takes over an authenticated worker. */
  add(session: CoordinatorSession): void {
    const remote = new RemoteWorker(session);
    this.#roster.add(remote);
    session.onMessage((message, payload) => this.#receive(remote, message, payload));
    void session.ending.then(({ reason }) => this.#leave(remote, reason));
    this.#mailbox.post({ type: 'joined', worker: remote.worker });
    this.#enrolment.prepare(remote);
  }

  /** Tells all workers, present and future, what to compute, unless they know. */
  prepare(setup: ProgramSetup): void {
    invariant(this.#performer.active === null, 'the program changed during a round');
    if (!this.#enrolment.begin(setup)) return;
    for (const remote of this.#roster.here) this.#enrolment.prepare(remote);
  }

  /**
   * Waits until `count` workers can compute; once there were so many, until all that are left can.
   * @throws LockstepError NO_WORKERS after `timeoutMs`
   */
  ready(count: number, timeoutMs: number): Promise<void> {
    if (this.#state.phase === 'stopped') return Promise.reject(stopError(this.#state));
    return this.#gate.wait(count, timeoutMs);
  }

  /** The number of the next round; call it once per round, in order. */
  nextRoundId(): number {
    return ++this.#roundId;
  }

  /** Sends a coming round's data ahead to the workers that will most likely compute it. */
  prefetch(plan: RoundPlan): void {
    const workers = candidates(this.#state);
    if (workers.length === 0) return;
    for (const { worker, range } of splitRound(plan.spec, workers)) {
      this.#roster.of(worker).deliver(plan, range);
    }
  }

  /**
   * Computes one round on the workers that are there; shards of a worker that is lost go to others.
   * @throws LockstepError when the run cannot go on
   */
  run(request: RoundRequest): Promise<RoundOutcome> {
    return new Promise((resolve, reject) => {
      if (this.#state.phase === 'stopped') return reject(stopError(this.#state));
      const { clock, onPoint } = this.#options;
      this.#performer.begin(new ActiveRound(request, clock.nowMs(), { resolve, reject }, onPoint));
      this.#mailbox.post({ type: 'begin', round: request.spec });
    });
  }

  /** Ends the run: no worker can come any more. */
  abandon(reason: string): void {
    this.stop(noWorkerIsLeft(reason));
  }

  /** Ends the run, also in the middle of a round: whoever waits for a round or for workers gets this error. */
  stop(cause: StopCause): void {
    this.#mailbox.post({ type: 'stop', cause });
  }

  /** What the run measures its waits by. */
  get clock(): Clock {
    return this.#options.clock;
  }

  /** Whether it takes no more work, and workers are of no more use to it. */
  get isStopped(): boolean {
    return this.#state.phase === 'stopped';
  }

  get readyCount(): number {
    return readyWorkers(this.#state).length;
  }

  /** What was computed beyond every shard once, and why. */
  get counts(): Readonly<FaultCounts> {
    return this.#performer.counts;
  }

  /** What the run's bits are compared with. */
  get reference(): RunReference {
    return this.#enrolment.reference;
  }

  /** What it does at this moment, for people and tools. */
  status(): ClusterStatus {
    const { clock, limits } = this.#options;
    const sources = { state: this.#state, limits, tallies: this.tallies(), counts: this.counts };
    return statusOf({ ...sources, outside: this.outside.reason }, clock.nowMs());
  }

  /** Of all workers that ever were ready, those lost and no longer listed included. */
  get shardsComputed(): number {
    return this.#roster.shardsComputed;
  }

  /** The workers that are ready, or were, and the last thousand of those that left after they had been. */
  tallies(): WorkerTally[] {
    return this.#roster.tallies();
  }

  /**
   * Tells the workers to go and stops; whoever still waits for a round or for workers gets an error. Connections
   * close by themselves or with the listener.
   */
  close(reason: string): void {
    this.#stopTicking();
    for (const remote of this.#roster.here) remote.close('goodbye', reason);
    this.stop(clusterWasClosed(reason));
  }

  #sendAway(remote: RemoteWorker, reason: string): void {
    if (remote.lost !== null) return;
    this.#leave(remote, reason);
    this.#options.onSentAway?.(remote.worker, reason);
  }

  #leave(remote: RemoteWorker, reason: string, goodbye: { saidGoodbye?: true } = {}): void {
    if (remote.lost !== null) return;
    const { worker } = remote;
    remote.markLost(reason);
    this.#roster.remove(remote);
    if (remote.row !== null && !this.isStopped)
      this.#options.onEvent({ type: 'worker-lost', worker, reason });
    this.#options.log.info({ worker, reason }, 'worker left');
    this.#mailbox.post({ type: 'left', worker, reason, ...goodbye });
  }

  #receive(remote: RemoteWorker, message: ToCoordinator, payload: Uint8Array): void {
    if (remote.lost !== null || this.#enrolment.setup === null) return;
    const { worker } = remote;
    switch (message.type) {
      case 'heartbeat':
        return this.#mailbox.post({ type: 'heard', worker });
      case 'ready':
        return this.#enrolment.admit(remote, message);
      case 'partial':
      case 'outputs':
        return this.#take(remote, message, payload);
      case 'failed':
        return this.#fail(remote, message);
      case 'goodbye':
        return this.#leave(remote, message.reason, { saidGoodbye: true });
      default:
        return assertNever(message);
    }
  }

  #fail(remote: RemoteWorker, { order, shard, code, message, hint }: ToCoordinatorOf<'failed'>): void {
    const { worker } = remote;
    const { othersMayCome, log } = this.#options;
    log.error({ worker, code, order, shard }, message);
    if (order !== null) {
      const { round: roundId, lo, hi } = order;
      const report = { worker, roundId, range: { lo, hi }, shard, code, message, hint, othersMayCome };
      return this.#mailbox.post({ type: 'failed', ...report });
    }
    // What one worker cannot build, others may be able to.
    const hasOthers = readyWorkers(this.#state).some((other) => other !== worker);
    if (othersMayCome || hasOthers) return this.#refuse(remote, 'failed', message);
    this.stop({ code, message: `worker ${worker}: ${message}`, hint });
  }

  #take(remote: RemoteWorker, message: ToCoordinatorOf<'partial' | 'outputs'>, payload: Uint8Array): void {
    const { setup } = this.#enrolment;
    invariant(setup !== null, 'a result before setup');
    // It comes of a program that was replaced meanwhile: of no use, and its shape is another.
    if (remote.isBuilding) return void remote.reject('stale_step');
    const { round: roundId, lo, hi } = message;
    const current = this.#performer.active;
    const active = current?.request.spec.id === roundId ? current : null;
    const kind = active?.request.spec.kind ?? null;
    const result = readResult(message, payload, kind, setup.resultShape);
    if (result === null || active?.fits({ lo, hi }, result) === false) {
      return this.#refuse(remote, 'invalid_message', 'its result has the wrong shape');
    }
    const incoming = { message, result };
    this.#incoming = result;
    const { outputs } = setup.resultShape;
    this.#mailbox.post(claimOf(remote.worker, incoming, { kind, state: this.#state, outputs }));
    this.#incoming = null;
  }

  #refuse(remote: RemoteWorker, code: RejectCode, why: string): void {
    const message = `worker ${remote.worker} (${remote.row?.host ?? remote.address}) was refused: ${why}`;
    this.#options.onEvent({ type: 'warning', message });
    remote.refuse(code, why);
    this.#sendAway(remote, why);
  }

  #tick(): void {
    this.#mailbox.post({ type: 'tick' });
    for (const remote of this.#roster.here) remote.beat(this.#options.clock.nowMs());
    const nowMs = this.#options.clock.nowMs();
    const { active } = this.#performer;
    this.#waiting.look(this.#state, active === null ? null : nowMs - active.startedMs, nowMs);
  }

  #step(input: RunInput): void {
    const { clock, limits } = this.#options;
    const [state, effects] = transition(this.#state, input, clock.nowMs(), limits);
    this.#state = state;
    for (const effect of effects) this.#performer.perform(effect, this.#incoming);
    this.#gate.update(readyWorkers(state).length, this.#roster.here.length);
  }
}
