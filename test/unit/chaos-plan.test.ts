import { readFileSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultsOfStep } from '../../chaos/draw.js';
import { type InjectedFault, Ledger } from '../../chaos/ledger.js';
import { checkFaultPlan, type FaultPlan, faultActions, phasesOf, readFaultPlan } from '../../chaos/plan.js';
import { runPhases } from '../../shared/run-point.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-test-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const one = (fault: object): unknown => ({ faults: [fault] });

describe('a fault plan', () => {
  it.each<[string, unknown, RegExp]>([
    ['a list', [], /the plan is \[\], expected/],
    ['an unknown field', { fault: [] }, /unknown field fault/],
    [
      'an unknown action',
      one({ step: 1, do: 'kil' }),
      /faults\[0\]\.do is "kil", expected one of kill, stop/,
    ],
    [
      'an unknown phase',
      one({ step: 1, do: 'kill', phase: 'computin' }),
      /phase is "computin", expected one of/,
    ],
    ['no step', one({ do: 'kill' }), /faults\[0\]\.step is nothing, expected a step/],
    ['a negative step', one({ step: -1, do: 'kill' }), /step is -1, expected a step, counted from 0/],
    ['a fraction of a step', one({ step: 1.5, do: 'kill' }), /step is 1\.5/],
    [
      'an unknown worker',
      one({ step: 1, do: 'kill', worker: 'first' }),
      /worker is "first", expected a worker's/,
    ],
    ['time for a kill', one({ step: 1, do: 'kill', ms: 5 }), /ms is 5, expected none for the action kill/],
    ['bits for a cut', one({ step: 1, do: 'cut', bits: 5 }), /bits is 5, expected none for the action cut/],
    [
      'a phase that the action cannot strike in',
      one({ step: 1, do: 'nan', phase: 'idle' }),
      /phase is "idle", expected computing for the action nan/,
    ],
    ['a rate of an unknown action', { random: { rates: { kil: 1 } } }, /rates/],
    ['a rate above 1', { random: { rates: { kill: 2 } } }, /random\.rates\.kill is 2, expected .*0 to 1/],
  ])('with %s is refused with the field and what it should be', (_, plan, what) => {
    expect(() => checkFaultPlan(plan, 'plan.json')).toThrow(what);
    expect(() => checkFaultPlan(plan, 'plan.json')).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });

  it('with a misspelt action says what was meant', () => {
    expect(() => checkFaultPlan(one({ step: 1, do: 'kil' }), 'p')).toThrow(
      expect.objectContaining({ hint: 'Did you mean kill?' }),
    );
  });

  it('is read from a file, and a file that is none is refused', async () => {
    const file = join(folder, 'plan.json');
    await writeFile(file, '{ "faults": [{ "step": 3, "do": "kill" }] }');
    expect(await readFaultPlan(file)).toEqual({ faults: [{ step: 3, do: 'kill' }] });
    await writeFile(file, '{ faults }');
    await expect(readFaultPlan(file)).rejects.toThrow(/plan\.json is no JSON/);
    await expect(readFaultPlan(join(folder, 'nowhere.json'))).rejects.toThrow(/cannot be read/);
  });
});

describe('docs/chaos.md', () => {
  const text = readFileSync(new URL('../../docs/chaos.md', import.meta.url), 'utf8');

  it('has plans that can be used', () => {
    const plans = [...text.matchAll(/```json\n([\s\S]*?)```/g)].map(([, plan]) => JSON.parse(plan));
    expect(plans).toHaveLength(2);
    for (const plan of plans) expect(checkFaultPlan(plan, 'docs/chaos.md')).toEqual(plan);
  });

  it('names every action and every phase', () => {
    for (const name of [...faultActions, ...runPhases]) expect(text).toContain(`\`${name}\``);
  });
});

describe('the faults of a step', () => {
  const random = { seed: 5, rates: { kill: 0.5, cut: 0.5, corrupt: 0.5, stop: 0.5, slow: 0.5 } } as const;
  const drawn = (plan: FaultPlan, steps = 200) =>
    Array.from({ length: steps }, (_, step) => faultsOfStep(plan, step)).flat();

  it('are those planned for it, in the first phase of the action unless the plan says which', () => {
    const plan: FaultPlan = {
      faults: [
        { step: 2, do: 'slow', ms: 40 },
        { step: 3, do: 'kill' },
        { step: 2, do: 'cut', phase: 'uploading', worker: 1 },
      ],
    };
    expect(faultsOfStep(plan, 2)).toMatchObject([
      { id: 'planned-0', do: 'slow', phase: 'computing', worker: 'random', ms: 40 },
      { id: 'planned-2', do: 'cut', phase: 'uploading', worker: 1, how: 'reset' },
    ]);
    expect(faultsOfStep(plan, 4)).toEqual([]);
  });

  it('are drawn the same for the same seed, whatever was asked before, and otherwise for another', () => {
    const first = drawn({ random });
    expect(faultsOfStep({ random }, 150)).toEqual(first.filter(({ step }) => step === 150));
    expect(drawn({ random })).toEqual(first);
    expect(drawn({ random: { ...random, seed: 6 } })).not.toEqual(first);
  });

  it('come at their rates, at every phase that the action can strike in, and at no other', () => {
    const faults = drawn({ random }, 1_000);
    for (const action of ['kill', 'cut', 'corrupt', 'stop', 'slow'] as const) {
      const own = faults.filter((fault) => fault.do === action);
      // 1,000 draws at one half: four standard deviations are 64.
      expect(Math.abs(own.length - 500)).toBeLessThan(64);
      expect(new Set(own.map(({ phase }) => phase))).toEqual(new Set(phasesOf[action]));
    }
    expect(faults.some((fault) => fault.do === 'wrong')).toBe(false);
  });
});

describe('a ledger', () => {
  const entry: InjectedFault = {
    id: 'planned-0',
    do: 'kill',
    phase: 'idle',
    plannedStep: 3,
    step: 3,
    worker: 1,
    pid: 42,
    outstandingShards: 2,
    tookEffect: true,
    what: 'process 42 got SIGKILL',
  };

  it('knows after a restart what was done before it', async () => {
    const file = join(folder, 'ledger.jsonl');
    new Ledger(file).add(entry);
    const second = new Ledger(file);
    expect(second.has('planned-0')).toBe(true);
    expect(second.has('planned-1')).toBe(false);
    expect(second.entries).toEqual([entry]);
    await appendFile(file, 'something else\n');
    expect(() => new Ledger(file)).toThrow(/cannot be used/);
  });

  it('without a file forgets with the process', () => {
    const ledger = new Ledger(null);
    ledger.add(entry);
    expect(ledger.entries).toEqual([entry]);
    expect(new Ledger(null).entries).toEqual([]);
  });
});
