import { parseArgs } from 'node:util';
import { messageOf } from '../../../shared/errors.js';
import { campaign, FailedRun } from './campaign.js';
import { scenarioOf } from './scenario.js';
import { simulate } from './simulate.js';
import { EffectTable } from './table.js';

const usage = `npm run simulate -- [options]

Simulates whole training runs, coordinator, workers, network and disk, under faults drawn from a seed, and compares
every bit with the undisturbed run.

  --seed N      replay the run of one seed and print what happens in it
  --runs N      simulate so many runs (default 1000)
  --minutes M   simulate for so long instead
  --from N      the first seed (default 0)
  --help        this text

It ends with 0 if every run kept its promises; otherwise it names the seed and ends with 1.
`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string', default: '1000' },
    minutes: { type: 'string' },
    from: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
});

function numberOf(name: 'seed' | 'runs' | 'minutes' | 'from'): number {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value >= 0) return value;
  process.stderr.write(`--${name} is ${values[name]}, expected a number of at least 0\n`);
  process.exit(2);
}

async function replay(seed: number): Promise<void> {
  const { faults, ...scenario } = scenarioOf(seed);
  process.stdout.write(`${JSON.stringify(scenario)}\n`);
  for (const { kind, phase, fromStep } of faults) {
    process.stdout.write(`planned: ${kind} while ${phase}, from step ${fromStep}\n`);
  }
  const world = await simulate(seed, { onTrace: (line) => process.stdout.write(`${line}\n`) });
  process.stdout.write(`${world.steps} steps committed, every promise kept\n`);
}

async function many(): Promise<void> {
  const first = numberOf('from');
  const endMs = values.minutes === undefined ? null : performance.now() + numberOf('minutes') * 60_000;
  const runs = endMs === null ? numberOf('runs') : Number.POSITIVE_INFINITY;
  const effects = new EffectTable();
  const startedMs = performance.now();
  let done = 0;
  let steps = 0;
  let saidMs = startedMs;
  while (done < runs && (endMs === null || performance.now() < endMs)) {
    const report = await campaign([first + done]);
    done += 1;
    steps += report.steps;
    effects.merge(report.effects);
    if (performance.now() - saidMs < 10_000) continue;
    saidMs = performance.now();
    process.stderr.write(`${done} runs, ${effects.total} faults\n`);
  }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  process.stdout.write(`${effects}\n\n`);
  process.stdout.write(`${done} runs of ${steps} steps in ${seconds} s: every promise kept\n`);
}

if (values.help) process.stdout.write(usage);
else {
  try {
    if (values.seed === undefined) await many();
    else await replay(numberOf('seed'));
  } catch (error) {
    const text = error instanceof FailedRun || values.seed === undefined ? messageOf(error) : error;
    process.stderr.write(`${text instanceof Error ? text.stack : text}\n`);
    process.exitCode = 1;
  }
}
