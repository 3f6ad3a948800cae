import { describe, expect, it } from 'vitest';
import { announcementsOf, reproduction } from '../../cli/announcements.js';
import { advance, epochLine, noProgress, type Progress, progressLine } from '../../cli/progress.js';
import type { RunEvent } from '../../coordinator/events.js';
import { end, epochBegin, epochEnd, start, step, worker, workers } from './progress-events.js';

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
