import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { announcementsOf, reproduction } from '../../cli/announcements.js';
import { eventLog } from '../../cli/event-log.js';
import { count, duration, metric, milliseconds, rate, shellQuoted } from '../../cli/format.js';
import { advance, epochLine, noProgress, type Progress, progressLine } from '../../cli/progress.js';
import { TerminalView } from '../../cli/terminal.js';
import type { RunEvent, WorkerRow } from '../../coordinator/events.js';
import { createLogger } from '../../shared/log.js';

const worker = (index: number): WorkerRow => ({
  worker: index,
  host: 'alpha',
  pid: 1000 + index,
  backend: 'wasm',
  device: null,
  threads: 1,
});

const workers: RunEvent = { type: 'workers', workers: [worker(0), worker(1)] };
const epochBegin = (steps: number | null): RunEvent => ({ type: 'epoch-begin', epoch: 1, epochs: 10, steps });
const step = (batch: number): RunEvent => ({
  type: 'step',
  epoch: 1,
  batch,
  step: batch + 1,
  rows: 128,
  stepMs: 12,
  logs: { loss: 0.1234, accuracy: 0.9876 },
  workers: 2,
});
const epochEnd: RunEvent & { type: 'epoch-end' } = {
  type: 'epoch-end',
  epoch: 1,
  epochs: 10,
  steps: 500,
  logs: { loss: 0.1, val_loss: 0.25, val_accuracy: 0.95 },
  epochMs: 6400,
  samplesPerSecond: 10_400,
  workers: 2,
};
const start: RunEvent = {
  type: 'start',
  runId: 'r1',
  seed: 7,
  shards: 4,
  epochs: 10,
  batchSize: 128,
  samples: 60_000,
  stepsPerEpoch: 469,
  parameters: 93_322,
  resumedAtStep: null,
};
const end: RunEvent = {
  type: 'end',
  cause: 'done',
  step: 4690,
  epochs: 10,
  seconds: 62,
  logs: { loss: 0.1, val_accuracy: 0.98 },
  weightsSha256: '0123456789abcdef0123456789abcdef',
  checkpoint: 'runs/a/step-4690',
  mixed: [],
};

/** 125 of 500 steps of 12 ms each, 128 rows a step. */
function quarter(steps: number | null = 500): Progress {
  let progress = advance(advance(noProgress, workers, 0), epochBegin(steps), 0);
  for (let batch = 0; batch < 125; batch++) progress = advance(progress, step(batch), 12 * (batch + 1));
  return progress;
}

describe('the progress line', () => {
  it("reads like Keras's", () => {
    // 125 · 12 ms = 1.5 s; 128 rows / 12 ms = 10,667 a second; 375 · 12 ms = 4.5 s to go.
    expect(progressLine(quarter(), 1500, 200)).toBe(
      '125/500 ━━━━━─────────────── 2s · 12 ms/step · 10.7k samples/s · loss 0.1234 · accuracy 0.9876 · 2 workers · ETA 5s',
    );
  });

  it('lets go of the bar before it lets go of facts, and never exceeds the columns', () => {
    const narrower = progressLine(quarter(), 1500, 110);
    expect(narrower).toMatch(/^125\/500 ━━──────── 2s .* ETA 5s$/);
    expect(progressLine(quarter(), 1500, 95)).toMatch(/^125\/500 2s .* ETA 5s$/);
    expect(progressLine(quarter(), 1500, 40)).toBe('125/500 2s · 12 ms/step · 10.7k samples…');
    for (let columns = 0; columns < 150; columns++) {
      expect(progressLine(quarter(), 1500, columns).length).toBeLessThanOrEqual(Math.max(1, columns));
    }
  });

  it('counts the rate from its own steps when an epoch was resumed', () => {
    let progress = advance(advance(noProgress, workers, 0), epochBegin(500), 0);
    progress = advance(progress, step(400), 20);
    progress = advance(progress, step(401), 40);
    expect(progressLine(progress, 40, 200)).toContain('402/500');
    expect(progressLine(progress, 40, 200)).toContain('20 ms/step · 6.4k samples/s');
    expect(progressLine(progress, 40, 200)).toContain('ETA 2s');
  });

  it('shows a stream without a bar and without an ETA', () => {
    expect(progressLine(quarter(null), 1500, 200)).toBe(
      '125 steps 2s · 12 ms/step · 10.7k samples/s · loss 0.1234 · accuracy 0.9876 · 2 workers',
    );
  });

  it('says how far validation is', () => {
    const validating = advance(quarter(), { type: 'test-batch', batch: 2, batches: 10 }, 1600);
    expect(progressLine(validating, 1600, 200)).toMatch(/2 workers · validating 3\/10$/);
  });

  it('says what it waits for, until something moves', () => {
    const waiting = advance(
      quarter(),
      { type: 'waiting', reason: 'worker 1: shard 2 of step 126, 4.1 s' },
      6000,
    );
    expect(progressLine(waiting, 6000, 200)).toBe('waiting: worker 1: shard 2 of step 126, 4.1 s');
    expect(progressLine(advance(waiting, step(125), 6001), 6001, 200)).toMatch(/^126\/500/);
  });

  it('is empty before the first epoch and after the last', () => {
    expect(progressLine(noProgress, 0, 80)).toBe('');
    expect(progressLine(advance(quarter(), end, 0), 0, 80)).toBe('');
  });
});

describe('the lines that stay', () => {
  const texts = (event: RunEvent, before: Progress = noProgress): string[] =>
    announcementsOf(event, before, 'AGAIN').map(({ text }) => text);

  it('introduce the run', () => {
    expect(texts(start)).toEqual([
      'run r1 · 93,322 parameters · 60,000 samples · batch 128 in 4 shards · 10 epochs of 469 steps · seed 7',
      'same bits again: AGAIN',
    ]);
    expect(texts({ ...start, resumedAtStep: 1200 }).at(-1)).toBe('resumed after step 1,200');
  });

  it('list the workers', () => {
    expect(texts(workers)).toEqual([
      'worker  host   pid   backend  threads  device',
      '0       alpha  1000  wasm     1        -',
      '1       alpha  1001  wasm     1        -',
    ]);
  });

  it('announce a worker that joins only after the table', () => {
    const joined: RunEvent = { type: 'worker-joined', worker: worker(2) };
    expect(texts(joined)).toEqual([]);
    expect(texts(joined, quarter())).toEqual(['worker 2 joined: wasm on alpha, pid 1002']);
  });

  it('close an epoch with its validation', () => {
    let progress = quarter();
    for (let batch = 125; batch < 500; batch++) progress = advance(progress, step(batch), 12 * (batch + 1));
    expect(epochLine(progress, epochEnd)).toBe(
      '500/500 ━━━━━━━━━━━━━━━━━━━━ 6s · 12 ms/step · 10.4k samples/s · loss 0.1000 · val_loss 0.2500 · val_accuracy 0.9500 · 2 workers',
    );
  });

  it('end with what was reached, where it is and how to get it again', () => {
    expect(texts(end)).toEqual([
      'Done: 10 epochs, 4,690 steps, 1m 02s · loss 0.1000 · val_accuracy 0.9800',
      '  weights     sha256 0123456789abcdef…',
      '  model       runs/a/step-4690/model.json (tf.loadLayersModel reads it)',
      '  checkpoint  runs/a/step-4690',
      '  same bits   AGAIN',
    ]);
    expect(texts({ ...end, checkpoint: null, cause: 'stopped-early' })).toEqual([
      'Stopped early: 10 epochs, 4,690 steps, 1m 02s · loss 0.1000 · val_accuracy 0.9800',
      '  weights    sha256 0123456789abcdef…',
      '  model      not saved; --checkpoint-dir DIR saves it',
      '  same bits  AGAIN',
    ]);
  });

  it('say of a run whose workers differed that it cannot be had again, and why', () => {
    expect(texts({ ...end, mixed: ['node is 22.1.0, not 20.20.2'] }).slice(-2)).toEqual([
      '  checkpoint            runs/a/step-4690',
      '  not bit-reproducible  node is 22.1.0, not 20.20.2',
    ]);
  });

  it('say after an interruption how to go on, and not how to get the whole run', () => {
    expect(texts({ ...end, cause: 'signal', epochs: 2 })).toEqual([
      'Interrupted: 2 epochs, 4,690 steps, 1m 02s · loss 0.1000 · val_accuracy 0.9800',
      '  weights     sha256 0123456789abcdef…',
      '  model       runs/a/step-4690/model.json (tf.loadLayersModel reads it)',
      '  checkpoint  runs/a/step-4690',
      '  to go on    the same command with --resume',
    ]);
    expect(texts({ ...end, cause: 'signal', checkpoint: null }).at(-1)).toMatch(/^ {2}model .* not saved/);
  });

  it('repeat the run with the seed, shards and backend it had, quoted for a shell', () => {
    const invocation = { job: "my job's.ts", options: ['--epochs', '3'] };
    expect(reproduction(invocation, { seed: 7, shards: 4, backend: 'wasm' })).toBe(
      "lockstep train 'my job'\\''s.ts' --seed 7 --shards 4 --backend wasm --epochs 3",
    );
    expect(reproduction(invocation, { seed: 7, shards: 4, backend: null })).not.toContain('--backend');
  });
});

describe('numbers', () => {
  it.each([
    [metric(0.12345), '0.1235'],
    [metric(0), '0.0000'],
    [metric(0.00012345), '1.2345e-4'],
    [metric(1e7), '1.0000e+7'],
    [metric(Number.NaN), 'NaN'],
    [duration(400), '0s'],
    [duration(59_400), '59s'],
    [duration(59_600), '1m 00s'],
    [duration(7_500_000), '2h 05m'],
    [milliseconds(0.42), '0.42 ms'],
    [milliseconds(9.96), '10 ms'],
    [milliseconds(4200), '4.2 s'],
    [rate(3.14), '3.1'],
    [rate(999.4), '999'],
    [rate(999.6), '1.0k'],
    [rate(1_200_000), '1.2M'],
    [count(999), '999'],
    [count(1_234_567), '1,234,567'],
    [shellQuoted('a/b-c.ts'), 'a/b-c.ts'],
    [shellQuoted('$HOME'), "'$HOME'"],
  ])('reads %s', (shown, expected) => {
    expect(shown).toBe(expected);
  });
});

describe('TerminalView', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function view({ colours = false, noColor = '', quiet = false } = {}) {
    const written: string[] = [];
    const terminal = new TerminalView({
      stream: { columns: 100, write: (text) => written.push(text), hasColors: () => colours },
      invocation: { job: 'job.ts', options: [] },
      environment: { NO_COLOR: noColor },
      quiet,
    });
    return { terminal, written };
  }

  it('redraws at most ten times a second', () => {
    const { terminal, written } = view();
    terminal.onEvent(workers);
    terminal.onEvent(epochBegin(5000));
    for (let batch = 0; batch < 1000; batch++) {
      vi.advanceTimersByTime(1);
      terminal.onEvent(step(batch));
    }
    const drawn = written.filter((text) => text.includes('/5000'));
    expect(drawn.length).toBeGreaterThanOrEqual(9);
    expect(drawn.length).toBeLessThanOrEqual(11);
    terminal.close();
  });

  it('keeps the clock moving while no step ends', () => {
    const { terminal, written } = view();
    terminal.onEvent(epochBegin(10));
    vi.advanceTimersByTime(3500);
    expect(written.join('')).toContain(' 3s · ');
    terminal.close();
  });

  it('prints what stays above the line, on a cleared line, and leaves nothing behind', () => {
    const { terminal, written } = view();
    terminal.onEvent(epochBegin(10));
    vi.advanceTimersByTime(200);
    written.length = 0;
    terminal.onEvent({ type: 'warning', message: 'mind the gap' });
    expect(written.slice(0, 2)).toEqual(['\r\u001b[2K', 'warning: mind the gap\n']);
    vi.advanceTimersByTime(200);
    terminal.close();
    expect(written.at(-1)).toBe('\r\u001b[2K');
    written.length = 0;
    vi.advanceTimersByTime(5000);
    expect(written).toEqual([]);
  });

  it('names what the run decided in the line that repeats it', () => {
    const { terminal, written } = view();
    terminal.onEvent(workers);
    terminal.onEvent(start);
    expect(written).toContain('same bits again: lockstep train job.ts --seed 7 --shards 4 --backend wasm\n');
    terminal.close();
  });

  it('colours where the terminal can and NO_COLOR is not set', () => {
    const heading = (options: { colours?: boolean; noColor?: string }): string => {
      const { terminal, written } = view(options);
      terminal.onEvent(epochBegin(10));
      terminal.close();
      return written[0];
    };
    expect(heading({ colours: true })).toBe('\u001b[1mEpoch 2/10\u001b[22m\n');
    expect(heading({ colours: true, noColor: '1' })).toBe('Epoch 2/10\n');
    expect(heading({})).toBe('Epoch 2/10\n');
  });

  it('shows warnings and the end only when it is to be quiet', () => {
    const { terminal, written } = view({ quiet: true });
    for (const event of [start, workers, epochBegin(10), step(0), epochEnd]) terminal.onEvent(event);
    vi.advanceTimersByTime(2000);
    expect(written).toEqual([]);
    terminal.onEvent({ type: 'warning', message: 'mind' });
    terminal.onEvent(end);
    expect(written).toHaveLength(2);
    terminal.close();
  });
});

describe('the log', () => {
  function logged(events: readonly (readonly [number, RunEvent])[]): Record<string, unknown>[] {
    const lines: string[] = [];
    const destination = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    let nowMs = 0;
    const listen = eventLog(createLogger({ destination }), () => nowMs);
    for (const [atMs, event] of events) {
      nowMs = atMs;
      listen(event);
    }
    return lines.map((line) => JSON.parse(line));
  }

  it('has one JSON line per event, with its fields', () => {
    const [first, second] = logged([
      [0, start],
      [0, { type: 'worker-lost', worker: 1, reason: 'gone' }],
    ]);
    expect(first).toMatchObject({ level: 'info', event: 'start', seed: 7, shards: 4, parameters: 93_322 });
    expect(second).toMatchObject({ level: 'warn', event: 'worker-lost', worker: 1, reason: 'gone' });
  });

  it('has steps at most once a second, and every end of an epoch', () => {
    const steps = Array.from({ length: 50 }, (_, batch) => [batch * 100, step(batch)] as const);
    const lines = logged([...steps, [5000, epochEnd], [5001, { type: 'test-batch', batch: 0, batches: 1 }]]);
    expect(lines.filter(({ event }) => event === 'step').map((line) => line.batch)).toEqual([
      0, 10, 20, 30, 40,
    ]);
    expect(lines.at(-1)).toMatchObject({ event: 'epoch-end', steps: 500 });
  });

  it('never holds a secret', () => {
    let line = '';
    const logger = createLogger({
      destination: {
        write: (text) => {
          line += text;
        },
      },
    });
    logger.info({ token: 'hunter2hunter2', options: { token: 'hunter2hunter2', key: 'PEM' } }, 'joined');
    expect(line).not.toContain('hunter2');
    expect(line).not.toContain('PEM');
    expect(line).toContain('"msg":"joined"');
  });
});
