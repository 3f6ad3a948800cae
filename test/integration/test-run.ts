import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
    return new Lockstep(args, { environment: { ...environment, [mark]: this.#mark } });
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
