import { messageOf } from '../../../shared/errors.js';
import { campaign } from './campaign.js';

// A campaign in a process of its own: `campaign-process FIRST EVERY RUNS` simulates the seeds FIRST, FIRST + EVERY, …
// It prints the report as JSON, or on stderr what went wrong in the first run that breaks a promise.

const [first, every, runs] = process.argv.slice(2).map(Number);
try {
  const { effects, ...report } = await campaign(Array.from({ length: runs }, (_, i) => first + i * every));
  const { user, system } = process.cpuUsage();
  const processorMs = Math.round((user + system) / 1_000);
  process.stdout.write(JSON.stringify({ ...report, processorMs, effects: effects.entries() }));
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
// Processes that were killed in the simulation have left promises and timers of their own; nothing is to come of them.
process.stdout.write('', () => process.exit());
