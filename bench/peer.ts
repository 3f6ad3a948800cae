import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LockstepError } from 'lockstep';

/** What PyTorch DDP is to train: the models of models.ts. */
export interface PeerRun {
  readonly model: 'cnn' | 'mlp';
  /** Processes of one thread each; 1 is PyTorch without DDP. */
  readonly world: number;
  /** Rows of the global batch. */
  readonly batch: number;
}

export interface PeerFigures {
  /** The mean of its 30 steps. */
  readonly stepMs: number;
  /** The largest resident set that any of its processes had. */
  readonly peakBytes: number;
}

/** Runs the script, and then says in KiB what the largest of its processes, and of theirs, took. */
const measured = `
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
`;

/** The script that times a step of PyTorch: \`SCRIPT WORLD mlp|cnn BATCH\` prints "… ms/step". */
export class Peer {
  readonly #script: string;
  readonly #python: string;

  private constructor(script: string, python: string) {
    this.#script = script;
    this.#python = python;
  }

  /**
   * @param script null: LOCKSTEP_PEER says where it is
   * @throws LockstepError BAD_OPTION
   */
  static at(script: string | null): Peer {
    const { LOCKSTEP_PEER, LOCKSTEP_PYTHON = '/usr/bin/python3' } = process.env;
    const path = script ?? LOCKSTEP_PEER;
    if (path !== undefined) return new Peer(path, LOCKSTEP_PYTHON);
    throw new LockstepError('BAD_OPTION', 'where is the script that times PyTorch?', {
      hint: 'Name ddp_step.py with --peer or in LOCKSTEP_PEER.',
    });
  }

  async run({ model, world, batch }: PeerRun): Promise<PeerFigures> {
    const args = ['-c', measured, this.#script, String(world), model, String(batch)];
    const env = { ...process.env, OPENBLAS_NUM_THREADS: '1' };
    const { stdout } = await promisify(execFile)(this.#python, args, { env });
    const [, stepMs] = / ([\d.]+) ms\/step/.exec(stdout) ?? [];
    const [, peak] = /^peak (\d+)$/m.exec(stdout) ?? [];
    if (stepMs === undefined || peak === undefined)
      throw new TypeError(`PyTorch's script printed: ${stdout}`);
    return { stepMs: Number(stepMs), peakBytes: Number(peak) * 1024 };
  }
}
