import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { RunReport } from '../../coordinator/report.js';
import { type Ended, Lockstep } from './cli-process.js';

export interface Trained extends Ended {
  readonly report: RunReport;
}

const mark = 'LOCKSTEP_TEST_MARK';

/** Path of a job in test/fixtures/jobs. */
export function fixtureJob(name: string): string {
  return fileURLToPath(new URL(`../fixtures/jobs/${name}.ts`, import.meta.url));
}

/** One test's processes and files. Every process it starts, and every one those start, carries its mark. */
export class TestRun {
  readonly folder: string;
  readonly #mark = randomUUID();
  #reports = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async begin(): Promise<TestRun> {
    return new TestRun(await mkdtemp(join(tmpdir(), 'lockstep-test-')));
  }

  /** A path in the test's own folder. */
  at(name: string): string {
    return join(this.folder, name);
  }

  start(args: readonly string[], environment: Record<string, string> = {}): Lockstep {
    const own = { LOCKSTEP_TEST_BEGUN: this.at('begun'), [mark]: this.#mark };
    return new Lockstep(args, { environment: { ...environment, ...own } });
  }

  /** Shards of training that all processes of this test began, those that died included; of the job `interrupted`. */
  async begun(): Promise<number> {
    return (await readFile(this.at('begun')).catch(() => Buffer.alloc(0))).byteLength;
  }

  /** Runs `train` or `coordinator` with a report. `ended` tells what became of it. */
  startTraining(args: readonly string[], environment: Record<string, string> = {}) {
    const file = this.at(`report-${this.#reports++}.json`);
    const process = this.start([...args, '--report', file], environment);
    const trained = process.ended.then(async (ended): Promise<Trained> => {
      const report = await readFile(file, 'utf8').catch(() => {
        throw new RangeError(`no report; the process wrote: ${ended.stdout}${ended.stderr}`);
      });
      return { ...ended, report: JSON.parse(report) };
    });
    trained.catch(() => {});
    return { process, trained };
  }

  /** Trains to the end and gives the report. */
  train(args: readonly string[], environment: Record<string, string> = {}): Promise<Trained> {
    return this.startTraining(['train', ...args], environment).trained;
  }

  /**
   * A coordinator that waits for `workers` workers; `url` and `token` are what they join with.
   * @param at address and token of one that has ended, whose place it takes
   */
  async startCoordinator(
    args: readonly string[],
    workers: number,
    environment: Record<string, string> = {},
    at?: { url: string; token: string },
  ) {
    const token = at?.token ?? this.at('token');
    if (at === undefined) await writeFile(token, `${randomUUID()}\n`, { mode: 0o600 });
    const address = at === undefined ? '127.0.0.1:0' : new URL(at.url).host;
    const listen = ['--listen', address, '--token-file', token, '--workers', String(workers)];
    const { process, trained } = this.startTraining(['coordinator', ...args, ...listen], environment);
    const { msg = '' } = await process.entry((entry) => entry.msg?.startsWith('waiting for ') === true);
    const url = /ws:\S+/.exec(msg)?.[0] ?? '';
    return { process, trained, url, token };
  }

  startWorker(
    { url, token }: { url: string; token: string },
    args: readonly string[] = [],
    environment: Record<string, string> = {},
  ): Lockstep {
    return this.start(['worker', '--join', url, '--token-file', token, ...args], environment);
  }

  /** Processes of this test that still run. Linux says so in /proc; elsewhere the list is empty. */
  async running(): Promise<number[]> {
    const found: number[] = [];
    for (const entry of await readdir('/proc').catch(() => [])) {
      const pid = Number(entry);
      if (!Number.isInteger(pid)) continue;
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      if (environment.includes(`${mark}=${this.#mark}`)) found.push(pid);
    }
    return found;
  }

  /** Ends what still runs and removes the folder. */
  async end(): Promise<void> {
    for (const pid of await this.running()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What must not depend on how a run was computed. */
export function bitsOf({ report }: Pick<Trained, 'report'>) {
  const { weightsSha256, stateSha256, steps, epochs, samplesSeen, history } = report;
  return { weightsSha256, stateSha256, steps, epochs, samplesSeen, history };
}

/**
 * The process that test/fixtures/jobs/interrupted.ts stopped in the middle of a shard, once there is one.
 * @param file what LOCKSTEP_TEST_STALL names
 */
export async function stalledPid(file: string): Promise<number> {
  const read = () => readFile(file, 'utf8').catch(() => '');
  await expect.poll(read, { timeout: 60_000, interval: 20 }).toMatch(/^\d+\n$/);
  return Number(await read());
}
