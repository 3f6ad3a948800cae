import type { Command } from 'commander';
import { usualActions } from '../chaos/campaign.js';
import { type FaultAction, faultActions } from '../chaos/plan.js';
import type { ComputeOptions } from './commands.js';
import { choicesOf, integerOf, timeOf } from './values.js';

const count = (option: string): ((text: string) => number) => integerOf(option, 1, 1_000_000);

export interface ChaosOptions extends ComputeOptions {
  readonly seed: number;
  readonly runs?: number;
  /** Milliseconds. */
  readonly duration?: number;
  readonly workers: number;
  readonly actions?: readonly FaultAction[];
  readonly faultsPerRun: number;
  readonly shards?: number;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly report?: string;
}

/** Adds `lockstep chaos`. @param computeOptions adds what all commands that compute have */
export function addChaos(
  program: Command,
  computeOptions: (command: Command) => Command,
  act: (job: string, options: ChaosOptions) => Promise<void>,
): void {
  computeOptions(program.command('chaos').summary('prove that a job gives the same bits whatever fails'))
    .description(
      'Train a job undisturbed, then again and again under faults drawn at random: worker processes are killed and ' +
        'stopped, connections cut, bytes corrupted, the coordinator killed and resumed. Compare the bits of every ' +
        'run with those of the undisturbed one. Runs that save nothing of yours: checkpoints go to a temporary folder.',
    )
    .option(
      '--seed <n>',
      'seed of the faults of the first run; each run takes the next',
      integerOf('--seed', 0, 2 ** 31),
      1,
    )
    .option('--runs <n>', 'faulted runs (default: 5)', count('--runs'))
    .option('--duration <time>', 'go on for so long: 90s, 10m, 2h', timeOf('--duration'))
    .option('--workers <n>', 'worker processes; nan needs three', integerOf('--workers', 1, 1_024), 3)
    .option(
      '--actions <a,b>',
      `of ${faultActions.join(', ')} (default: ${usualActions.join()})`,
      choicesOf('--actions', faultActions),
    )
    .option('--faults-per-run <n>', 'how many faults to expect in a run', count('--faults-per-run'), 6)
    .option('--shards <n>', 'shards per batch', integerOf('--shards', 1, 65_536))
    .option('--epochs <n>', "instead of the job's epochs", count('--epochs'))
    .option('--batch-size <n>', "instead of the job's batch size, in rows", count('--batch-size'))
    .option('--report <file>', 'write every fault and its effect as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep chaos job.ts                                  # 5 runs with seeds 1 to 5
  $ lockstep chaos job.ts --duration 10m --workers 4
  $ lockstep chaos job.ts --seed 17 --runs 1               # the same faults as in the run with seed 17
  $ lockstep chaos job.ts --actions kill,kill-coordinator --faults-per-run 10

To place faults by hand: lockstep train job.ts --faults plan.json (docs/chaos.md).
Exit code 0: all runs have the same bits. 1: one has not, and is named, or no fault took effect.
`,
    )
    .action(act);
}
