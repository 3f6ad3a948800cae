import { type Command, Option } from 'commander';
import { backendChoices } from '../shared/backends.js';
import { choiceOf, fractionOf, integerOf } from './values.js';

export const maxShards = 65_536;
export const seedValue = integerOf('--seed', 0, Number.MAX_SAFE_INTEGER);

/** What `train` and `coordinator` share. */
export function runOptions(command: Command): Command {
  return computeOptions(command)
    .option(
      '--shards <n>',
      'shards per batch; part of what the bits depend on',
      integerOf('--shards', 1, maxShards),
    )
    .option('--seed <k>', 'seed of everything random', seedValue)
    .option('--epochs <n>', "instead of the job's epochs", integerOf('--epochs', 1, 1_000_000_000))
    .option(
      '--batch-size <n>',
      "instead of the job's batch size, in rows",
      integerOf('--batch-size', 1, 2 ** 31 - 1),
    )
    .option(
      '--audit-fraction <f>',
      'share of shards that two workers compute, to find one that computes wrong',
      fractionOf('--audit-fraction'),
    )
    .option(
      '--on-non-finite <policy>',
      'stop at a step whose loss or gradient is NaN or Inf, or skip it: stop or skip (default: stop)',
      choiceOf('--on-non-finite', ['stop', 'skip']),
    )
    .option('--checkpoint-dir <dir>', 'save the run here, with a receipt of every step')
    .option('--record-shards', 'let receipts tell of each shard, so that diff-runs can name it', false)
    .option('--resume', 'go on from the newest checkpoint in --checkpoint-dir', false)
    .option('--report <file>', 'write a report of the run as JSON')
    .option(
      '--allow-mixed',
      'admit workers whose bits differ; the run is labelled as not bit-reproducible',
      false,
    )
    .option('--faults <plan>', 'inject the faults of this JSON file, to see the run survive them')
    .option(
      '--grace-seconds <n>',
      'after a signal, the step in flight has this long to finish, and saving as long again',
      integerOf('--grace-seconds', 0, 86_400),
      30,
    )
    .option(
      '--wait-for-workers <seconds>',
      'when all workers are lost, wait this long for one, then save and exit with 3',
      integerOf('--wait-for-workers', 1, 31_536_000),
    )
    .option('--quiet', 'show warnings and the end only', false);
}

/** For commands that compute on a job. */
export function computeOptions(command: Command): Command {
  return common(command)
    .argument('<job>', 'file whose default export is defineJob({ … })')
    .option('--data <dir>', 'folder of the data, for jobs that ask for one')
    .addOption(backendOption())
    .option(
      '--threads-per-worker <n>',
      'compute threads of each worker',
      integerOf('--threads-per-worker', 1, 1024),
      1,
    );
}

/** Every command has these. */
export function common(command: Command): Command {
  return command.option('--verbose', 'show stacks of errors and more of the log', false);
}

export function backendOption(): Option {
  return new Option('--backend <name>', `one of ${backendChoices.join(', ')}`)
    .argParser(choiceOf('--backend', backendChoices))
    .default('auto');
}
