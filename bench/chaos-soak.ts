/**
 * The long proof: `npm run soak [-- --runs 200] [--minutes 60] [--seed 1] [--workers 3]`.
 * Random faults on real processes, `runs` of them over two jobs (a CNN with BatchNorm, dropout and Adam on arrays,
 * and the same on a stream), then `minutes` of simulation; 0 leaves one out. It ends with 1 at the first hash that
 * differs, and prints the machine, the seeds and the command that repeats the run.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.js';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '3' },
  },
});
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const jobs = ['cnn', 'stream'];
const [runs, minutes, seed] = [values.runs, values.minutes, values.seed].map(Number);

/** Runs a command to its end, its output here. Gives the exit code. */
async function run(...command: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, command, { stdio: 'inherit' });
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  return exitCode ?? 1;
}

/** Ends this process, with the code of a part that has failed. */
function orEnd(exitCode: number): void {
  if (exitCode !== 0) process.exit(exitCode);
}

console.log(describeMachine());
// Seeds go on from job to job: with the same ones, jobs of as many steps would meet the same faults.
let next = seed;
for (const [i, job] of jobs.entries()) {
  const share = Math.floor((runs + i) / jobs.length);
  if (share === 0) continue;
  console.log(`${job}: ${share} runs, seeds ${next} to ${next + share - 1}`);
  const path = at(`../test/fixtures/jobs/${job}.ts`);
  const options = ['--seed', String(next), '--runs', String(share), '--workers', values.workers];
  orEnd(await run(at('../dist/cli/main.js'), 'chaos', path, '--backend', 'wasm', ...options));
  next += share;
}
if (minutes > 0) {
  console.log(`simulation: ${minutes} minutes`);
  orEnd(await run('--import', 'tsx', at('../test/simulation/system/main.ts'), '--minutes', String(minutes)));
}
console.log('not one hash differs');
