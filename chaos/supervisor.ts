import type { Clock } from '../shared/clock.js';
import type { RunPoint } from '../shared/run-point.js';
import type { WorkerFaultReport } from '../shared/worker-faults.js';
import type { Crew, Target } from './crew.js';
import { type Fault, faultsOfStep, isDrawn } from './draw.js';
import type { Ledger } from './ledger.js';
import { defaultMax, type FaultPlan } from './plan.js';
import { Progress } from './progress.js';
import { type Effect, hit, isByteAction, isComputeAction, missed, ruleOf, strike } from './strike.js';

export interface SupervisorOptions {
  readonly plan: FaultPlan;
  readonly crew: Crew;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** What starts another worker; null where workers join by themselves. */
  readonly join: () => (() => void) | null;
  /** Ends this process as SIGKILL does. */
  readonly killSelf: () => void;
}

/** A fault whose step has come. Armed, something waits for it at a worker: for its bytes, or for its compute. */
type Pending = { readonly fault: Fault; readonly tries: number } & (
  | { readonly stage: 'waiting' }
  | {
      readonly stage: 'armed';
      readonly sinceStep: number;
      readonly target: Target;
      readonly disarm: () => void;
    }
);

/** A worker that comes to nothing in so many steps is stuck: what waits at it is tried at another. */
const patienceSteps = 2;

/** A worker that sends NaN is told from a model that diverges by two others: with fewer the run has to stop. */
const witnesses = 2;

const needsWitnesses = ({ id, do: action }: Fault): boolean => isDrawn(id) && action === 'nan';

/** Carries a plan out at the points of a run, and records what took effect. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #progress = new Progress();
  /** By id, in the order of the plan. */
  readonly #pending = new Map<string, Pending>();
  /** What is due later, and how to cancel its timer. */
  readonly #later = new Map<() => void, () => void>();
  #step = 0;
  /** The last step in which a fault struck, and in which a drawn one did that needs witnesses. */
  #struckStep = -1;
  #witnessedStep = -1;
  #drawn: number;
  #shardsBegun = 0;
  #isClosed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#drawn = options.ledger.entries.filter(({ id }) => isDrawn(id)).length;
    options.crew.onReport = (pid, report, reply) => this.#reported(pid, report, reply);
  }

  /** Shards of training whose computation began in workers that this process started. */
  get shardsBegun(): number {
    return this.#shardsBegun;
  }

  /** The run has come to a point. */
  readonly at = (point: RunPoint): void => {
    if (this.#isClosed) return;
    this.#progress.at(point, this.#options.clock.nowMs());
    if (point.phase === 'idle') this.#begin(point.step);
    for (const pending of [...this.#pending.values()]) {
      if (pending.stage !== 'waiting' || pending.fault.phase !== point.phase) continue;
      if (!this.#isHeldBack(pending.fault)) this.#strikeAt(pending, point);
    }
    if (point.phase === 'dispatch' && point.worker !== null) this.#armByClock(point.worker);
  };

  /** A worker is gone: what waited at it waits for another, if any will do. */
  lost(worker: number): void {
    this.#progress.lost(worker);
    if (this.#isClosed) return;
    for (const pending of [...this.#pending.values()]) {
      if (pending.stage !== 'armed' || pending.target.worker !== worker) continue;
      this.#takeBack(pending);
      const { fault, target } = pending;
      if (fault.worker !== 'random') this.#settle(fault, target, missed('the worker had left'));
    }
  }

  /** Ends what is under way; faults that never struck are recorded as such. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const [finish, cancel] of this.#later) {
      cancel();
      finish();
    }
    this.#later.clear();
    for (const pending of [...this.#pending.values()]) {
      if (pending.stage === 'armed') pending.disarm();
      this.#settle(pending.fault, null, missed('the run ended before it came to this'));
    }
  }

  #begin(step: number): void {
    this.#step = step;
    const { plan, ledger, crew } = this.#options;
    const { max = defaultMax } = plan.random ?? {};
    for (const fault of faultsOfStep(plan, step)) {
      const isKnown = ledger.has(fault.id) || this.#pending.has(fault.id);
      if (isKnown || (isDrawn(fault.id) && this.#drawn >= max)) continue;
      if (isDrawn(fault.id)) this.#drawn += 1;
      this.#pending.set(fault.id, { stage: 'waiting', fault, tries: 0 });
    }
    this.#progress.mark(crew.targets);
    for (const pending of [...this.#pending.values()]) {
      const isStuck =
        pending.stage === 'armed' &&
        pending.fault.worker === 'random' &&
        step >= pending.sinceStep + patienceSteps;
      if (pending.stage === 'armed' && !isStuck) continue;
      const waiting = pending.stage === 'armed' ? this.#takeBack(pending) : pending;
      if (!this.#isHeldBack(waiting.fault)) this.#arm(waiting);
    }
  }

  /**
   * Whether a drawn fault waits for a later step: one that needs witnesses until they are there, nothing has struck
   * lately, and nothing else is about to; every other while such a one is about to strike or is being judged. A plan's
   * own faults are never held back.
   */
  #isHeldBack(fault: Fault): boolean {
    if (!isDrawn(fault.id)) return false;
    const armed = [...this.#pending.values()].filter((pending) => pending.stage === 'armed');
    if (needsWitnesses(fault)) {
      const areThere = this.#options.crew.targets.length > witnesses;
      return !areThere || armed.length > 0 || this.#step <= this.#struckStep + 1;
    }
    return this.#witnessedStep === this.#step || armed.some((pending) => needsWitnesses(pending.fault));
  }

  #takeBack({ fault, tries, disarm }: Pending & { stage: 'armed' }): Pending {
    disarm();
    const pending = { stage: 'waiting', fault, tries: tries + 1 } as const;
    this.#pending.set(fault.id, pending);
    return pending;
  }

  #armed({ fault, tries }: Pending, target: Target, disarm: () => void): void {
    this.#pending.set(fault.id, { stage: 'armed', fault, tries, sinceStep: this.#step, target, disarm });
  }

  /** Has what happens at the worker itself waited for there. */
  #arm(pending: Pending): void {
    const { fault } = pending;
    if (fault.phase !== 'receiving' && fault.phase !== 'uploading' && fault.phase !== 'computing') return;
    const target = this.#choose(pending);
    if (target === null) return;
    if (fault.phase === 'computing') return this.#armCompute(pending, target);
    const flow = target.link?.[fault.phase === 'receiving' ? 'down' : 'up'];
    if (flow === undefined)
      return this.#settle(fault, target, missed('no open connection goes through the proxy'));
    const at = this.#progress.placeOf(target, fault.phase, fault.fraction);
    const action = fault.do;
    const rule = isByteAction(action) ? ruleOf(action, fault, at) : { type: 'hold' as const, at };
    flow.apply(rule, (position) => {
      if (isByteAction(action)) {
        return this.#settle(fault, target, hit(`${action} at byte ${position} of the connection`));
      }
      this.#strike(fault, target);
      // A connection that is silent from here on stays as it is.
      if (action !== 'half-open') flow.release();
    });
    this.#armed(pending, target, () => flow.revoke(rule));
  }

  #armCompute(pending: Pending, target: Target): void {
    const { fault } = pending;
    const { id, step } = fault;
    const action = fault.do === 'nan' || fault.do === 'wrong' ? fault.do : 'hold';
    const holdMs = fault.do === 'slow' ? fault.ms : null;
    if (target.order({ type: 'arm', id, action, step, holdMs })) {
      this.#armed(pending, target, () => void target.order({ type: 'disarm', id }));
    } else if (isComputeAction(fault.do)) {
      this.#settle(fault, target, missed('the worker was not started with faults'));
    }
  }

  /** A worker without a hook computes, as far as the clock tells, when half of its usual time has passed. */
  #armByClock(worker: number): void {
    const target = this.#options.crew.targets.find((other) => other.worker === worker);
    if (target === undefined) return;
    for (const pending of [...this.#pending.values()]) {
      const { fault } = pending;
      const isFor = (fault.worker === 'random' || fault.worker === worker) && !this.#isHeldBack(fault);
      if (pending.stage !== 'waiting' || fault.phase !== 'computing' || !isFor) continue;
      const disarm = this.#after(this.#progress.usualMs(worker) / 2, () => {
        if (!this.#isClosed) this.#strike(fault, target);
      });
      this.#armed(pending, target, disarm);
    }
  }

  #reported(pid: number, report: WorkerFaultReport, reply: Target['order']): void {
    if (report.type === 'begun') {
      this.#shardsBegun += 1;
      return;
    }
    const pending = this.#pending.get(report.id);
    if (pending?.stage !== 'armed' || pending.target.pid !== pid) {
      // It was taken back too late: nobody waits for it any more.
      reply({ type: 'release' });
      return;
    }
    const { fault, target } = pending;
    if (isComputeAction(fault.do)) {
      if (needsWitnesses(fault)) this.#witnessedStep = this.#step;
      const what = `${fault.do} at shard ${report.shard} of step ${report.step}`;
      return this.#settle(fault, target, hit(what));
    }
    this.#strike(fault, target);
    reply({ type: 'release' });
  }

  /** At a point of the coordinator. What is about one worker hits that one, if it will do. */
  #strikeAt(pending: Pending, { worker }: RunPoint): void {
    const { fault } = pending;
    if (fault.do === 'join' || fault.do === 'kill-coordinator') return this.#strike(fault, null);
    if (worker === null) {
      const target = this.#choose(pending);
      if (target !== null) this.#strike(fault, target);
      return;
    }
    if (fault.worker !== 'random' && fault.worker !== worker) return;
    const target = this.#options.crew.targets.find((other) => other.worker === worker);
    if (target !== undefined) this.#strike(fault, target);
  }

  /** Whom a fault is for. Null if nobody is there: then it waits, or is given up. */
  #choose({ fault, tries }: Pending): Target | null {
    const { targets } = this.#options.crew;
    if (fault.worker === 'random') {
      return targets[(Math.floor(fault.fraction * targets.length) + tries) % targets.length] ?? null;
    }
    const target = targets.find(({ worker }) => worker === fault.worker) ?? null;
    if (target === null) this.#settle(fault, null, missed(`there is no worker ${fault.worker}`));
    return target;
  }

  #strike(fault: Fault, target: Target | null): void {
    const { join, killSelf } = this.#options;
    const action = fault.do;
    if (action === 'kill-coordinator') {
      // Recorded first: there is no afterwards.
      this.#settle(fault, null, hit(`process ${process.pid} was killed`));
      return killSelf();
    }
    if (isByteAction(action) || isComputeAction(action)) return;
    const tools = { join: join(), after: (ms: number, then: () => void) => void this.#after(ms, then) };
    this.#settle(fault, target, strike(action, fault, target, tools));
  }

  #settle(fault: Fault, target: Target | null, { tookEffect, what }: Effect): void {
    this.#pending.delete(fault.id);
    if (tookEffect) this.#struckStep = this.#step;
    this.#options.ledger.add({
      id: fault.id,
      do: fault.do,
      phase: fault.phase,
      plannedStep: fault.step,
      step: tookEffect ? this.#step : null,
      worker: target?.worker ?? null,
      pid: target?.pid ?? null,
      outstandingShards: tookEffect && target !== null ? this.#progress.outstandingOf(target.worker) : 0,
      tookEffect,
      what,
    });
  }

  /** Calls `then` after so long, or when the supervisor closes; never after it was cancelled. */
  #after(ms: number, then: () => void): () => void {
    const cancel = this.#options.clock.after(ms, () => {
      this.#later.delete(then);
      then();
    });
    this.#later.set(then, cancel);
    return () => {
      this.#later.delete(then);
      cancel();
    };
  }
}
