import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The JSON lines of standard output. */
  readonly entries: readonly LogEntry[];
}

export type LogEntry = Readonly<Record<string, unknown>> & { readonly event?: string; readonly msg?: string };

/** A command of the built program as a process, without a terminal. */
export class Lockstep {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #entries: LogEntry[] = [];
  readonly #watchers = new Set<() => void>();
  #stdout = '';
  #stderr = '';
  #rest = '';
  #isOver = false;

  constructor(args: readonly string[], { environment = {} }: { environment?: Record<string, string> } = {}) {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => this.#read(String(chunk)));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk;
    });
    this.ended = new Promise((resolve) => {
      child.once('close', (exitCode) => {
        this.#isOver = true;
        for (const watch of this.#watchers) watch();
        resolve({ exitCode, stdout: this.#stdout, stderr: this.#stderr, entries: this.#entries });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The first entry that `matches`, as soon as it is there. @throws RangeError if the process ends without it */
  entry(matches: (entry: LogEntry) => boolean): Promise<LogEntry> {
    return new Promise((resolve, reject) => {
      const watch = (): void => {
        const found = this.#entries.find(matches);
        if (found === undefined && !this.#isOver) return;
        this.#watchers.delete(watch);
        if (found !== undefined) return resolve(found);
        reject(new RangeError(`the process ended without the entry: ${this.#stdout}${this.#stderr}`));
      };
      this.#watchers.add(watch);
      watch();
    });
  }

  #read(text: string): void {
    this.#stdout += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.#entries.push(JSON.parse(line));
    for (const watch of this.#watchers) watch();
  }
}

/** Runs a command to its end. */
export function lockstep(...args: string[]): Promise<Ended> {
  return new Lockstep(args).ended;
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Process ids in the table of workers. */
export function workerPids({ entries }: Pick<Ended, 'entries'>): number[] {
  const table = entries.find(({ event }) => event === 'workers')?.workers as { pid: number }[] | undefined;
  return (table ?? []).map(({ pid }) => pid);
}

/**
 * The source of a job: `rows` rows of a noisy linear function, learnt by a small network with dropout.
 * @param fields more fields of the job, as source
 */
export function jobSource({ rows = 200, fields = '', top = '' } = {}): string {
  return `
    import * as tf from '@tensorflow/tfjs';
    import { defineJob, type JobContext } from 'lockstep';
    ${top}
    const rows: number = ${rows};
    const x = new Float32Array(rows * 4);
    const y = new Float32Array(rows);
    for (let i = 0; i < x.length; i++) x[i] = Math.sin(i * 1.7);
    for (let i = 0; i < rows; i++) y[i] = x[4 * i] - 0.5 * x[4 * i + 1] + 0.1 * Math.cos(i);
    const dataset = (from: number, to: number) => ({
      length: to - from,
      batch(indices: Int32Array) {
        const bx = new Float32Array(indices.length * 4);
        const by = new Float32Array(indices.length);
        indices.forEach((index, row) => {
          bx.set(x.subarray(4 * (from + index), 4 * (from + index) + 4), 4 * row);
          by[row] = y[from + index];
        });
        return {
          x: [{ dtype: 'float32' as const, shape: [indices.length, 4], data: bx }],
          y: [{ dtype: 'float32' as const, shape: [indices.length, 1], data: by }],
        };
      },
    });
    const cut = Math.floor(rows * 0.8);
    export default defineJob({
      model: (_context: JobContext) =>
        tf.sequential({
          layers: [
            tf.layers.dense({ inputShape: [4], units: 8, activation: 'tanh' }),
            tf.layers.dropout({ rate: 0.2 }),
            tf.layers.dense({ units: 1 }),
          ],
        }),
      data: () => ({ train: dataset(0, cut), validation: dataset(cut, rows) }),
      loss: 'meanSquaredError',
      optimizer: 'adam',
      metrics: ['meanAbsoluteError'],
      batchSize: 13,
      epochs: 3,
      ${fields}
    });`;
}
