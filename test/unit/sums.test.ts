import { describe, expect, it } from 'vitest';
import { losses } from '../../shared/losses.js';
import { metrics } from '../../shared/metrics/metrics.js';
import { batchLossOf, layoutOf, RunningLogs } from '../../shared/sums.js';

const metric = (output: number, ref: ReturnType<typeof metrics.accuracy>, label: string) => ({
  output,
  metric: ref,
  weighted: false,
  label,
});

const two = {
  outputs: [
    { name: 'digit', loss: losses.meanSquaredError(), lossWeight: 2 },
    { name: 'size', loss: losses.meanAbsoluteError(), lossWeight: 0.5 },
  ],
  metrics: [
    metric(0, metrics.accuracy(), 'accuracy'),
    metric(1, metrics.auc(), 'auc'),
    metric(1, metrics.r2Score(), 'r2'),
  ],
};

const one = {
  outputs: [{ name: 'out', loss: losses.meanSquaredError(), lossWeight: 1 }],
  metrics: [metric(0, metrics.accuracy(), 'accuracy')],
};

describe('the layout of sums', () => {
  it('gives every number a place of its own', () => {
    const layout = layoutOf(two);
    const places = [
      layout.regularization,
      ...layout.outputs.flatMap(({ loss, elements }) => [loss, elements]),
    ];
    for (const place of layout.metrics) {
      if (place.kind === 'sums') for (let i = 0; i < place.size; i++) places.push(place.offset + i);
    }
    expect([...places].sort((a, b) => a - b)).toEqual(Array.from({ length: layout.length }, (_, i) => i));
    expect(layout.length).toBe(1 + 2 * 2 + 2 + 4);
    expect(layout.scores).toBe(1);
  });

  it('weighs each output and adds the regularisation as it is', () => {
    const sums = Float64Array.of(0.25, 6, 3, 10, 4, 0, 0, 0, 0, 0, 0);
    expect(batchLossOf(layoutOf(two), two, sums)).toBe(0.25 + 2 * 2 + 0.5 * 2.5);
  });
});

describe('running logs', () => {
  it('weigh the loss by rows and accumulate metrics over all rows', () => {
    const logs = new RunningLogs(one);
    logs.add(Float64Array.of(0.5, 8, 4, 1, 4), [], 4);
    logs.add(Float64Array.of(0.1, 3, 1, 1, 1), [], 1);
    expect(logs.logs()).toEqual({ loss: ((0.5 + 2) * 4 + (0.1 + 3) * 1) / 5, accuracy: 2 / 5 });
    expect(logs.rows).toBe(5);
  });

  it('keep the scores of a message, not the message', () => {
    const program = { ...two, metrics: [two.metrics[1]] };
    const sums = Float64Array.of(0, 1, 1, 1, 1);
    const scores = Float32Array.of(0.9, 1, 1, 0.1, 0, 1, 0.2, 1, 1);
    const message = new Float32Array(1_000);
    message.set(scores, 500);
    const logs = new RunningLogs(program);
    logs.add(sums, [message.subarray(500, 500 + scores.length)], 3);
    const [kept] = logs.saveState().scores;
    message.fill(0);
    expect(kept).toEqual(scores);
    expect(logs.logs().size_auc).toBe(1);
  });

  it('name outputs as Keras does when there are several', () => {
    const logs = new RunningLogs(two);
    logs.add(Float64Array.of(0, 6, 3, 10, 4, 1, 2, 0, 1, 1, 1), [Float32Array.of(0.9, 1, 1, 0.1, 0, 1)], 3);
    expect(logs.logs()).toEqual({
      loss: 2 * 2 + 0.5 * 2.5,
      digit_loss: 2,
      size_loss: 2.5,
      digit_accuracy: 0.5,
      size_auc: 1,
      size_r2: 0,
    });
    expect(Object.keys(logs.logs({ ranked: false }))).not.toContain('size_auc');
  });

  it('go on from a saved state as if never interrupted', () => {
    const sums = () => Float64Array.of(0, 6.5, 3, 1e-9, 4, 1, 2, 0.25, 1, 1, 1);
    const batches = [Float32Array.of(0.9, 1, 1), Float32Array.of(0.95, 0, 1), Float32Array.of(0.1, 0, 1)];
    const whole = new RunningLogs(two);
    const first = new RunningLogs(two);
    const second = new RunningLogs(two);
    batches.forEach((scores, index) => {
      whole.add(sums(), [scores], 3);
      if (index < 2) first.add(sums(), [scores], 3);
    });
    second.loadState(structuredClone(first.saveState()));
    second.add(sums(), [batches[2]], 3);
    expect(second.saveState()).toEqual(whole.saveState());
    expect(second.logs()).toEqual(whole.logs());
    expect(whole.logs().size_auc).toBe(0.5);
  });

  it('are 0 before the first batch', () => {
    expect(new RunningLogs(one).logs()).toEqual({ loss: 0, accuracy: 0 });
  });
});
