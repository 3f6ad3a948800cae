import { describe, expect, it } from 'vitest';
import { usualActions } from '../../chaos/campaign.js';
import { Crew, type Target } from '../../chaos/crew.js';
import { faultsOfStep } from '../../chaos/draw.js';
import { Ledger } from '../../chaos/ledger.js';
import type { FaultPlan } from '../../chaos/plan.js';
import { Supervisor } from '../../chaos/supervisor.js';
import type { WorkerFaultOrder } from '../../shared/worker-faults.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

/** Workers that record what they are asked and what is done to them. */
class RecordedCrew extends Crew {
  readonly orders: { worker: number; order: WorkerFaultOrder }[] = [];
  readonly signals: { worker: number; name: string }[] = [];
  workers: number[] = [];

  override get targets(): readonly Target[] {
    return this.workers.map((worker) => ({
      ...{ worker, pid: 100 + worker, link: null },
      signal: (name) => this.signals.push({ worker, name }) > 0,
      order: (order) => this.orders.push({ worker, order }) > 0,
    }));
  }
}

function supervised(plan: FaultPlan) {
  const crew = new RecordedCrew();
  const ledger = new Ledger(null);
  const options = { plan, crew, ledger, clock: new VirtualClock(), join: () => null, killSelf: () => {} };
  const supervisor = new Supervisor(options);
  const idle = (step: number): void => supervisor.at({ phase: 'idle', step, worker: null, shards: 0 });
  const armed = () => crew.orders.filter(({ order }) => order.type === 'arm' && order.action === 'nan');
  const struck = () => ledger.entries.filter(({ tookEffect }) => tookEffect).map((fault) => fault.do);
  /** The worker that was asked to says that it sends NaN. */
  const report = (step: number): void => {
    const { worker, order } = crew.orders[crew.orders.length - 1];
    const id = order.type === 'arm' ? order.id : '';
    crew.onReport(100 + worker, { type: 'struck', id, step, shard: 0 }, () => true);
  };
  return { crew, idle, armed, struck, report };
}

/** A seed of which `nan` is drawn for step 0, and `kill` for no phase but this one in steps 0 to 3. */
const always: FaultPlan = { random: { seed: 1, rates: { nan: 1 } } };

describe('a fault that sends NaN, drawn at random,', () => {
  it('is among those that a campaign draws', () => {
    expect(usualActions).toContain('nan');
    expect(faultsOfStep(always, 0)).toMatchObject([{ do: 'nan', phase: 'computing', worker: 'random' }]);
  });

  it('waits until two others can tell it from a model that diverges', () => {
    const { crew, idle, armed } = supervised(always);
    crew.workers = [0, 1];
    for (const step of [0, 1, 2]) idle(step);
    expect(armed()).toEqual([]);
    crew.workers = [0, 1, 5];
    idle(3);
    expect(armed()).toHaveLength(1);
  });

  it('is not joined by another before it was judged, and does not follow one closely', () => {
    const killing: FaultPlan = { random: { seed: 1, rates: { nan: 1, kill: 1 }, max: 100 } };
    const { crew, idle, armed, struck, report } = supervised(killing);
    crew.workers = [0, 1, 2];
    const kinds: string[] = [];
    let asked = 0;
    for (let step = 0; step < 40; step++) {
      const before = struck().length;
      idle(step);
      const isArmed = armed().length > asked;
      asked = armed().length;
      if (isArmed) report(step);
      // More points of the same step, at which a kill could strike.
      idle(step);
      const now = struck().slice(before);
      if (now.includes('nan')) expect(now).toEqual(['nan']);
      kinds.push(now.includes('nan') ? 'nan' : now.length > 0 ? 'kill' : '-');
    }
    expect(kinds).toContain('nan');
    expect(kinds).toContain('kill');
    // Never in a step in which, or right after which, something else was done.
    expect(kinds.join(' ')).not.toMatch(/kill nan/);
  });

  it('strikes where a plan puts it, whoever is there', () => {
    const { crew, idle, armed } = supervised({ faults: [{ step: 0, do: 'nan' }] });
    crew.workers = [0];
    idle(0);
    expect(armed()).toHaveLength(1);
  });
});
