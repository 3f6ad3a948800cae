import type { ShardPartial } from '../../../shared/partial.js';
import type { Fault } from './faults.js';
import type { FaultInjector } from './inject.js';
import type { Line } from './line.js';
import type { SimulatedWorker } from './simulated-worker.js';

/** Faults of one worker and of its line. Gives false if there is none to hit. */
export function strikeWorker(injector: FaultInjector, fault: Fault, durationMs: number): boolean {
  const { world } = injector;
  const worker = target(injector, fault);
  if (worker === null) return false;
  const { clock } = world;
  const { line } = worker;
  switch (fault.kind) {
    case 'worker killed':
      injector.took(fault);
      injector.kill(worker, durationMs);
      return true;
    case 'worker stopped':
      injector.took(fault);
      worker.process.stop();
      clock.after(durationMs, () => worker.process.continue());
      return true;
    case 'worker slow':
      worker.sickness.slowness = 5 + (fault.choice % 40);
      worker.sickness.fault = fault;
      clock.after(durationMs, () => {
        worker.sickness.slowness = 1;
      });
      return true;
  }
  if (line === null) return false;
  switch (fault.kind) {
    case 'compute never ends':
      worker.sickness.hangs = true;
      worker.sickness.fault = fault;
      // Another one comes, or whoever looks after it waits until it was sent away.
      if (fault.choice % 8 === 0) injector.excuses.add('gone');
      if (fault.choice % 8 > 0) world.replace(durationMs);
      else void line.ends[0].closed.then(() => world.replace(durationMs));
      return true;
    case 'compute fails':
      worker.sickness.fails = fault;
      world.replace(durationMs);
      return true;
    case 'result not finite':
      return spoil(injector, fault, worker, ({ gradient, moments, sums }) => {
        const values = [gradient, sums.subarray(0, 3), moments[0].mean, moments[0].m2][
          (fault.choice >>> 4) % 4
        ];
        values[fault.choice % values.length] = [Number.NaN, Number.POSITIVE_INFINITY][fault.choice % 2];
      });
    case 'result wrong': {
      const healthy = world.workers.filter((own) => own.isHere && own.traffic === world.life?.traffic);
      if (healthy.length < 3) return false;
      // It may be wrong once, or in the same way for some time.
      const times = fault.choice % 2 === 0 ? 1 : 1 + ((fault.choice >>> 8) % 8);
      return spoil(injector, fault, worker, ({ gradient }) => flipBit(gradient, fault.choice), times);
    }
    case 'late result wrong':
      return spoilLate(injector, fault, worker);
    case 'worker leaves':
      injector.took(fault);
      worker.leave();
      clock.after(durationMs, () => world.join());
      return true;
    case 'worker flaps':
      injector.took(fault);
      for (let i = 0; i < 4; i++) clock.after(i * 250, () => worker.line?.cut());
      return true;
    case 'line cut':
      injector.took(fault);
      line.cut();
      return true;
    case 'line half-open': {
      const direction = line.directions[fault.choice % 2];
      direction.isDropping = true;
      direction.onTouched = once(injector, fault);
      return true;
    }
    case 'line slow': {
      const direction = line.directions[fault.choice % 2];
      const extraMs = 20 + (fault.choice % 2_000);
      const usual = direction.latencyMs;
      direction.latencyMs = () => usual() + extraMs;
      direction.onTouched = once(injector, fault);
      clock.after(durationMs, () => {
        direction.latencyMs = usual;
      });
      return true;
    }
    case 'bytes damaged': {
      const direction = line.directions[fault.choice % 2];
      direction.damage = () => {
        direction.damage = null;
        injector.took(fault);
        return world.random.next();
      };
      return true;
    }
    case 'message repeated':
      return repeat(injector, fault, line);
    default:
      return true;
  }
}

function flipBit(gradient: Float32Array, choice: number): void {
  const bits = new Uint32Array(gradient.buffer, gradient.byteOffset, gradient.length);
  bits[choice % bits.length] ^= 1 << (choice % 23);
}

/** The worker becomes so slow that another computes its shard too, and then gives other bits than that one. */
function spoilLate(injector: FaultInjector, fault: Fault, worker: SimulatedWorker): boolean {
  const { sickness } = worker;
  if (injector.world.workers.filter(({ isHere }) => isHere).length < 2) return false;
  sickness.slowness = 80;
  sickness.fault = fault;
  sickness.spoil = ({ gradient }, { step, shard }) => {
    sickness.spoil = null;
    sickness.slowness = 1;
    const { traffic, line } = worker;
    if (line === null || traffic === null || !traffic.isAnswered(step, shard)) return;
    injector.spoilers.add(worker);
    injector.took(fault);
    traffic.spoils(line);
    // A bit could be rounded away where the shard is added to others.
    gradient[fault.choice % gradient.length] += 1_000;
  };
  return true;
}

/** The worker's next results are not what its shards give. */
function spoil(
  injector: FaultInjector,
  fault: Fault,
  worker: SimulatedWorker,
  spoil: (partial: ShardPartial) => void,
  times = 1,
): boolean {
  let left = times;
  worker.sickness.spoil = (partial) => {
    // The coordinator may have been started again meanwhile, and the others may not be there yet.
    const ready = worker.traffic?.members.ready.length ?? 0;
    if (fault.kind === 'result wrong' && ready < 3) return;
    left -= 1;
    if (left === 0) worker.sickness.spoil = null;
    injector.spoilers.add(worker);
    if (worker.line !== null) worker.traffic?.answers.suspect(worker.line);
    injector.took(fault);
    spoil(partial);
  };
  return true;
}

function once(injector: FaultInjector, fault: Fault): () => void {
  let isFirst = true;
  return () => {
    if (isFirst) injector.took(fault);
    isFirst = false;
  };
}

/** A worker that takes part in what the run is at, if there is one. */
function target(injector: FaultInjector, { phase, choice }: Fault): SimulatedWorker | null {
  const { workers, life } = injector.world;
  const alive = workers.filter(({ process }) => process.isAlive && !process.isStopped);
  const here = alive.filter(({ isHere }) => isHere);
  const busy =
    phase === 'computing'
      ? here.filter(({ isComputing }) => isComputing)
      : phase === 'uploading'
        ? here.filter(({ line }) => line !== null && life?.traffic.uploading.includes(line))
        : [];
  const candidates = busy.length > 0 ? busy : here.length > 0 ? here : alive;
  return candidates.length === 0 ? null : candidates[choice % candidates.length];
}

/** What a worker sent comes once more, on the same connection or on another: as it was, or for what nobody can hold. */
function repeat(injector: FaultInjector, fault: Fault, line: Line): boolean {
  const { lastPartial, lastOrder } = injector.world;
  if (lastPartial === null) return false;
  injector.took(fault);
  injector.world.echo.isOn = true;
  injector.world.life?.traffic.verdicts.tampered(line);
  const { payload } = lastPartial;
  const { message, ...envelope } = lastPartial.body;
  const { round, lo, hi } = message;
  const { shards } = injector.world.job;
  const own = { ...envelope, incarnation: line.incarnation };
  const failed = { type: 'failed', shard: null, code: 'WORKER_FAILED', message: 'old', hint: 'none' };
  const kind = fault.choice % 7;
  // Of the present round only what it does not hold: anything else would be true.
  const past = injector.world.life?.traffic.holds(line, round) ? 1 : fault.choice >>> 8;
  if (kind === 6 && lastOrder !== null) {
    // What the coordinator said, on a connection that it was not meant for, or that is over.
    line.ends[0].send({ ...lastOrder, incarnation: (line.incarnation ?? 0) + 1 });
    return true;
  }
  const body = [
    { ...envelope, message },
    { ...envelope, message: { ...message, round: Math.max(0, round - 1) } },
    { ...envelope, message: { ...message, lo: lo + shards, hi: hi + shards } },
    { ...envelope, message: { ...message, hi: shards + 1 } },
    { ...own, run: 'another', message },
    { ...own, message: { ...failed, order: { round: Math.max(0, round - (past % 2)), lo, hi } } },
    { ...own, incarnation: (line.incarnation ?? 0) + 1, message },
  ][kind];
  injector.world.trace('fault', () => `repeats ${JSON.stringify(body.message)}`);
  line.ends[1].send(body, kind === 5 ? [] : [payload]);
  return true;
}
