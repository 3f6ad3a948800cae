import { Command, Help, type Option } from 'commander';
import type { BackendChoice } from '../shared/backends.js';
import { addChaos, type ChaosOptions } from './chaos-options.js';
import { backendOption, common, computeOptions, maxShards, runOptions, seedValue } from './option-groups.js';
import { type Address, addressOf, integerOf, webSocketUrlOf } from './values.js';

/** Every command has these. */
export interface OutputOptions {
  readonly verbose: boolean;
}

export interface ComputeOptions extends OutputOptions {
  readonly backend: BackendChoice;
  readonly threadsPerWorker: number;
  readonly data?: string;
}

/** What `train` and `coordinator` share. */
export interface RunOptions extends ComputeOptions {
  readonly shards?: number;
  readonly seed?: number;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly auditFraction?: number;
  readonly onNonFinite?: 'stop' | 'skip';
  readonly checkpointDir?: string;
  readonly recordShards: boolean;
  readonly resume: boolean;
  readonly report?: string;
  readonly allowMixed: boolean;
  readonly faults?: string;
  readonly graceSeconds: number;
  /** Absent: the cluster's default. */
  readonly waitForWorkers?: number;
  readonly quiet: boolean;
}

export interface TrainOptions extends RunOptions {
  readonly workers: number;
}

export interface CoordinatorOptions extends RunOptions {
  readonly listen: Address;
  readonly workers: number;
  readonly tokenFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecure: boolean;
  readonly allowOrigin: readonly string[];
}

export interface WorkerOptions extends OutputOptions {
  readonly join: string;
  readonly tokenFile?: string;
  readonly backend: BackendChoice;
  /** Absent: as many as the coordinator says. */
  readonly threads?: number;
  readonly job?: string;
  readonly ca?: string;
  readonly maxMessageMib: number;
  readonly rejoinSeconds: number;
  readonly silenceSeconds: number;
}

export interface EvaluateOptions extends ComputeOptions {
  readonly checkpoint: string;
  readonly workers: number;
}

export interface VerifyOptions extends ComputeOptions {
  readonly shards?: number;
  readonly seed?: number;
}

export interface StatusOptions extends OutputOptions {
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly json: boolean;
  readonly watch?: number;
}

export interface DoctorOptions extends OutputOptions {
  readonly data?: string;
  readonly threads: number;
}

/** What carries the commands out; each gives the exit code. */
export interface Handlers {
  train(job: string, options: TrainOptions): Promise<number>;
  coordinator(job: string, options: CoordinatorOptions): Promise<number>;
  worker(options: WorkerOptions): Promise<number>;
  evaluate(job: string, options: EvaluateOptions): Promise<number>;
  verify(job: string, options: VerifyOptions): Promise<number>;
  chaos(job: string, options: ChaosOptions): Promise<number>;
  diffRuns(a: string, b: string): Promise<number>;
  /** @param job null tries the backends on a net of its own */
  doctor(job: string | null, options: DoctorOptions): Promise<number>;
  status(target: string, options: StatusOptions): Promise<number>;
}

const maxWorkers = 1024;

/** All commands with their options, units and ranges. `onExit` gets the exit code of the command that ran. */
export function createProgram(
  version: string,
  handlers: Handlers,
  onExit: (exitCode: number) => void,
): Command {
  const program = new Command('lockstep')
    .description('Train TensorFlow.js models on many workers, with the same bits on any number of them.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .configureHelp({ optionDescription: describeOption })
    .addHelpText(
      'after',
      examples(['train job.ts --workers 4 --checkpoint-dir runs/a', 'verify job.ts', 'doctor']),
    );

  runOptions(
    program
      .command('train')
      .summary('train a job on worker processes of this machine')
      .option('--workers <n>', 'worker processes', integerOf('--workers', 1, maxWorkers), 2),
  )
    .description('Train a job on worker processes of this machine.')
    .addHelpText(
      'after',
      examples([
        'train job.ts --workers 4 --data data/mnist',
        'train job.ts --checkpoint-dir runs/a            # saves at the end of every epoch',
        'train job.ts --checkpoint-dir runs/a --resume   # goes on at the exact batch',
      ]),
    )
    .action(async (job: string, options: TrainOptions) => onExit(await handlers.train(job, options)));

  runOptions(program.command('coordinator').summary('train a job on workers that join over the network'))
    .description('Train a job on workers that join over the network, with `lockstep worker`.')
    .requiredOption('--listen <host:port>', 'where to wait for workers', addressOf('--listen'))
    .option('--workers <n>', 'start when this many have joined', integerOf('--workers', 1, maxWorkers), 1)
    .option('--token-file <file>', 'the token that workers must hold (or LOCKSTEP_TOKEN)')
    .option('--tls-cert <file>', 'certificate in PEM; workers then join with wss://')
    .option('--tls-key <file>', 'its private key in PEM')
    .option('--insecure', 'listen to other machines without TLS', false)
    .option('--allow-origin <origin...>', 'web pages that may connect, like https://example.org', [])
    .addHelpText(
      'after',
      examples([
        'coordinator job.ts --listen 127.0.0.1:7070 --token-file token --workers 3',
        'coordinator job.ts --listen 0.0.0.0:7070 --token-file token --tls-cert cert.pem --tls-key key.pem',
      ]),
    )
    .action(async (job: string, options: CoordinatorOptions) =>
      onExit(await handlers.coordinator(job, options)),
    );

  common(program.command('worker').summary('compute for a coordinator'))
    .description('Compute for a coordinator, on this machine or another, until the run ends.')
    .requiredOption(
      '--join <url>',
      'the coordinator, ws://HOST:PORT or wss://HOST:PORT',
      webSocketUrlOf('--join'),
    )
    .option('--token-file <file>', 'the token that the coordinator holds (or LOCKSTEP_TOKEN)')
    .addOption(backendOption())
    .option(
      '--threads <n>',
      'compute threads (default: what the coordinator says)',
      integerOf('--threads', 1, 1024),
    )
    .option('--job <file>', "this machine's copy of the job file, for jobs with code of their own")
    .option('--ca <file>', 'certificate authority in PEM, for wss:// with a certificate of your own')
    .option(
      '--max-message-mib <n>',
      'the largest weights or shard to take, in MiB',
      integerOf('--max-message-mib', 1, 2_047),
      2_047,
    )
    .option(
      '--rejoin-seconds <n>',
      'how long to look for a coordinator that was lost; 0 ends with the connection',
      integerOf('--rejoin-seconds', 0, 31_536_000),
      600,
    )
    .option(
      '--silence-seconds <n>',
      'a coordinator that says nothing for so long is lost',
      integerOf('--silence-seconds', 2, 31_536_000),
      120,
    )
    .addHelpText('after', examples(['worker --join ws://10.0.0.1:7070 --token-file token']))
    .action(async (options: WorkerOptions) => onExit(await handlers.worker(options)));

  computeOptions(program.command('evaluate').summary("score a checkpoint on the job's validation data"))
    .description("Score a checkpoint on the job's validation data.")
    .requiredOption('--checkpoint <dir>', 'a checkpoint, or the --checkpoint-dir of a run')
    .option('--workers <n>', 'worker processes', integerOf('--workers', 1, maxWorkers), 2)
    .addHelpText('after', examples(['evaluate job.ts --checkpoint runs/a --data data/mnist']))
    .action(async (job: string, options: EvaluateOptions) => onExit(await handlers.evaluate(job, options)));

  computeOptions(program.command('verify').summary('prove that a job gives the same bits on any workers'))
    .description(
      'Train 20 steps of a job by 1 worker, by 3, and by 2 of which one is killed, and compare the bits after ' +
        'every step. Callbacks are left out: they might write files.',
    )
    .option('--shards <n>', 'shards per batch', integerOf('--shards', 1, maxShards))
    .option('--seed <k>', 'seed of everything random', seedValue)
    .addHelpText('after', examples(['verify job.ts --data data/mnist']))
    .action(async (job: string, options: VerifyOptions) => onExit(await handlers.verify(job, options)));

  common(program.command('status').summary('say what a run does, and what it waits for'))
    .description(
      'Say what a run does at the moment: the step, who computes what, what is waited for, what is next.',
    )
    .argument('<run>', 'the URL of its coordinator, or the --checkpoint-dir of a lockstep train of this user')
    .option('--token-file <file>', 'the token of the coordinator at the URL (or LOCKSTEP_TOKEN)')
    .option('--ca <file>', 'certificate authority in PEM, for wss:// with a certificate of your own')
    .option('--json', 'as one line of JSON', false)
    .option('--watch <s>', 'again every so many seconds', integerOf('--watch', 1, 3_600))
    .addHelpText(
      'after',
      examples(['status runs/a', 'status ws://10.0.0.1:7070 --token-file token --watch 5']),
    )
    .action(async (target: string, options: StatusOptions) => onExit(await handlers.status(target, options)));

  addChaos(program, computeOptions, async (job, options) => onExit(await handlers.chaos(job, options)));

  common(program.command('diff-runs').summary('say at which step two runs part, and in what'))
    .description(
      'Say at which step two runs part, and what parted first: the samples, the gradient, the weights, the ' +
        "optimizer or BatchNorm's statistics. A run folder holds a receipt of every step, receipts.jsonl; no data " +
        'and no weights are needed. Exits with 0 if the two took the same bits as far as both go, 1 if they part, ' +
        '2 if they cannot be compared.',
    )
    .argument('<a>', 'the --checkpoint-dir of a run, or a receipts.jsonl')
    .argument('<b>', 'that of another run with the same seed, shards and batch size')
    .addHelpText(
      'after',
      examples([
        'train job.ts --checkpoint-dir runs/a --workers 1 --record-shards',
        'train job.ts --checkpoint-dir runs/b --workers 4 --record-shards   # names shard and tensor',
        'diff-runs runs/a runs/b',
      ]),
    )
    .action(async (a: string, b: string) => onExit(await handlers.diffRuns(a, b)));

  common(program.command('doctor').summary('say which backends work here, and how fast'))
    .description(
      'Say which backends work here, how fast they are, and how to get a faster one. With a job: whether its step ' +
        'compiles, which kernel or layer stops it, what compiling costs, and how long a shard takes on each backend.',
    )
    .argument('[job]', 'file whose default export is defineJob({ … })')
    .option('--data <dir>', 'folder of the data, for jobs that ask for one')
    .option('--threads <n>', 'compute threads', integerOf('--threads', 1, 1024), 1)
    .action(async (job: string | undefined, options: DoctorOptions) =>
      onExit(await handlers.doctor(job ?? null, options)),
    );

  return program;
}

/** That a switch is off by default goes without saying. */
function describeOption(option: Option): string {
  return option.isBoolean() ? option.description : new Help().optionDescription(option);
}

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ lockstep ${line}`).join('\n')}\n`;
}
