import type { Fingerprint } from '../../../shared/fingerprint.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ShardProgram, ShardTask } from '../../../shared/program.js';
import { ShardComputer } from '../../../worker/compute/shard-computer.js';
import type { ThreadHandle } from '../../../worker/compute-host.js';
import type { FromThread, ToThread } from '../../../worker/thread-messages.js';
import { ThreadSignals } from '../../../worker/thread-signals.js';
import type { SimulatedProcess } from './process.js';
import { features, manifest } from './tiny-job.js';
import { shardOf } from './tiny-program.js';

const fingerprint: Fingerprint = {
  backend: 'cpu',
  program: 'eager',
  lockstep: 'simulated',
  tfjs: 'none',
  kernels: 'none',
  libtensorflow: null,
  node: 'any',
  arch: 'any',
  cpuModel: null,
  instructionSet: null,
  device: null,
  threads: 1,
  flags: null,
};

/** Executes one shard: takes its time, and may do to the result what a sick device does. */
export type Execute = (
  kind: 'train' | 'evaluate',
  task: ShardTask,
  compute: () => ShardPartial,
) => Promise<ShardPartial>;

/** What happens in a worker's thread, and how long it takes. */
export interface ThreadWork {
  readonly build: () => Promise<void>;
  readonly execute: Execute;
}

/** A worker's compute thread without a thread: the real shard computer, with the tiny program for its model. */
export class SimulatedThread implements ThreadHandle {
  readonly #computer: ShardComputer;
  readonly #execute: Execute;
  readonly #signals = new ThreadSignals();
  #queue = Promise.resolve();
  #isStopped = false;

  constructor(
    process: SimulatedProcess,
    { build, execute }: ThreadWork,
    onAnswer: (answer: FromThread) => void,
  ) {
    this.#execute = execute;
    const send = (answer: FromThread): void => {
      if (!this.#isStopped) process.enter(() => onAnswer(answer));
    };
    const ports = {
      clock: process.clock,
      loadBackend: async () => ({ name: 'cpu' as const, fingerprint, skipped: [] }),
      createProgram: async ({ seed }: { seed: number }) => {
        await build();
        return { program: this.#program(seed), manifest, rows: { inputs: [[features]], outputs: [[1]] } };
      },
    };
    this.#computer = new ShardComputer(send, ports, this.#signals);
  }

  post(message: ToThread): void {
    if (message.type === 'reset') this.#signals.announceReset();
    if (message.type === 'cancel') this.#signals.cancel(message.round);
    this.#queue = this.#queue
      .then(() => (this.#isStopped ? undefined : this.#computer.handle(message)))
      .then(() => this.#signals.countHandled());
  }

  get handled(): number {
    return this.#signals.handled;
  }

  async stop(): Promise<boolean> {
    this.#isStopped = true;
    return true;
  }

  #program(seed: number): ShardProgram {
    let weights = new Float32Array(0);
    const compute = (kind: 'train' | 'evaluate', task: ShardTask): Promise<ShardPartial> => {
      const own = weights;
      return this.#execute(kind, task, () => shardOf(own, seed, kind, task));
    };
    return {
      setWeights(flat) {
        weights = flat.slice();
      },
      train: (task) => compute('train', task),
      evaluate: (task) => compute('evaluate', task),
      predict: async () => [],
      dispose() {},
    };
  }
}
