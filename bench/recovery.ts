/**
 * How long faults hold a run up: `npx tsx bench/recovery.ts [--backend wasm|tensorflow] [--kills 8] [--restarts 3]`.
 * The demo's CNN. First: a worker is killed in the middle of its shards; the time that the step takes longer than the
 * undisturbed ones, against the time until the loss is noticed plus one shard's compute. Then: a coordinator is killed
 * with its workers running; the time from its restart with `--resume` to its first new step. Run `npm run build` first.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cluster, type RunEvent } from 'lockstep';
import { compileOptions } from './compile-options.js';
import { buildCnn, digitsCnn } from './digits-cnn.js';
import { describeMachine } from './machine.js';
import { median } from './statistics.js';

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'wasm' },
    kills: { type: 'string', default: '8' },
    restarts: { type: 'string', default: '3' },
  },
});
const backend = values.backend as 'wasm' | 'tensorflow';
const restartTargetMs = 3_000;
const batchSize = 128;
/** Enough for a worker that took the place of a killed one to be at work. */
const stepsBetweenKills = 30;

interface Kill {
  readonly atMs: number;
  lostMs: number | null;
}

/** Steps with and without a kill in them, in milliseconds. */
async function measureKills(kills: number): Promise<void> {
  const { images, labels, rows } = await digitsCnn(16 * batchSize, batchSize);
  const calm: number[] = [];
  const struck: { stepMs: number; noticedMs: number }[] = [];
  let pids = new Map<number, number>();
  let kill: Kill | null = null;
  let since = 0;
  const ended = new AbortController();
  const strike = (delayMs: number): void => {
    setTimeout(() => {
      const pid = [...pids.values()].at(0);
      if (pid === undefined) return;
      kill = { atMs: performance.now(), lostMs: null };
      process.kill(pid, 'SIGKILL');
    }, delayMs);
  };
  const onEvent = (event: RunEvent): void => {
    if (event.type === 'worker-joined') pids = new Map(pids).set(event.worker.worker, event.worker.pid);
    if (event.type === 'worker-lost') {
      pids.delete(event.worker);
      if (kill !== null) kill.lostMs = performance.now();
    }
    if (event.type !== 'step') return;
    if (kill !== null) {
      // A kill between two steps is noticed before any shard is assigned: nothing has to be computed again.
      if (kill.lostMs !== null) struck.push({ stepMs: event.stepMs, noticedMs: kill.lostMs - kill.atMs });
      kill = null;
      since = 0;
    } else if (since++ > stepsBetweenKills / 2 && pids.size === 2) calm.push(event.stepMs);
    if (struck.length === kills) return ended.abort();
    if (since === stepsBetweenKills && pids.size === 2) strike(median(calm) * 0.4);
    if (since > stepsBetweenKills) since = stepsBetweenKills - 1;
  };
  await using cluster = await Cluster.local({ backend, workers: 2, onEvent });
  const model = await buildCnn();
  model.compile(compileOptions);
  const x = { dtype: 'uint8' as const, shape: [rows, 28, 28, 1], data: images };
  await cluster.fit(model, { x, y: labels }, { batchSize, shards: 2, epochs: 1_000, signal: ended.signal });
  const usual = median(calm);
  const extra = struck.map(({ stepMs }) => stepMs - usual);
  const noticed = median(struck.map(({ noticedMs }) => noticedMs));
  console.log(
    `\na worker killed while it computes, ${backend}, two workers, two shards, ${struck.length} kills`,
  );
  console.log(`undisturbed step ${usual.toFixed(0)} ms; the loss is noticed after ${noticed.toFixed(1)} ms`);
  console.log(
    `a step with a kill takes ${median(extra).toFixed(0)} ms longer (most ${Math.max(...extra).toFixed(0)})`,
  );
  const bound = noticed + usual;
  console.log(`noticing and one shard, computed alone: at most ${bound.toFixed(0)} ms`);
}

/** A command of the built program that writes one JSON line per event. */
class Command {
  readonly child: ChildProcess;
  readonly #waiting = new Set<(entry: Record<string, unknown>) => void>();

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, ['dist/cli/main.js', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (line.startsWith('{')) for (const hear of [...this.#waiting]) hear(JSON.parse(line));
    });
  }

  /** Resolves when the program reports such an event. */
  event(name: string): Promise<Record<string, unknown>> {
    return new Promise((resolve) => {
      const hear = (entry: Record<string, unknown>): void => {
        if (entry.event !== name) return;
        this.#waiting.delete(hear);
        resolve(entry);
      };
      this.#waiting.add(hear);
    });
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await ended;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

async function measureRestarts(restarts: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-recovery-'));
  const token = join(folder, 'token');
  await writeFile(token, randomUUID(), { mode: 0o600 });
  const port = await freePort();
  const run = [
    'coordinator',
    'bench/recovery-job.ts',
    '--listen',
    `127.0.0.1:${port}`,
    '--token-file',
    token,
  ];
  const options = ['--checkpoint-dir', join(folder, 'run'), '--workers', '2', '--backend', backend];
  let coordinator = new Command([...run, ...options]);
  const join2 = ['worker', '--join', `ws://127.0.0.1:${port}`, '--token-file', token];
  const workers = [new Command(join2), new Command(join2)];
  const times: number[] = [];
  try {
    await coordinator.event('checkpoint');
    for (let restart = 0; restart < restarts; restart++) {
      await coordinator.end('SIGKILL');
      // Long enough that the workers have noticed and try again.
      await sleep(2_000);
      const startedMs = performance.now();
      coordinator = new Command([...run, ...options, '--resume']);
      await coordinator.event('step');
      times.push(performance.now() - startedMs);
      await coordinator.event('checkpoint');
    }
  } finally {
    await coordinator.end('SIGKILL');
    for (const worker of workers) await worker.end('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
  const worst = Math.max(...times);
  const verdict = worst < restartTargetMs ? 'met' : 'missed';
  console.log(`\na coordinator killed and started again with --resume, ${backend}, two workers that stayed`);
  console.log(
    `to the first new step: median ${median(times).toFixed(0)} ms, most ${worst.toFixed(0)} ms (target below ${restartTargetMs}: ${verdict})`,
  );
}

console.log(describeMachine());
await measureKills(Number(values.kills));
await measureRestarts(Number(values.restarts));
