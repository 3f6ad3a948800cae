import { Cluster, type RunEvent } from 'lockstep';
import { expect, it } from 'vitest';
import { denseModel, rowsOfWaves } from './small-training.js';

it('a listener that throws at every event is warned of, and costs neither bits nor other listeners', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', onWarning);
  try {
    const trained = async (onEvent?: (event: RunEvent) => void) => {
      const heard: string[] = [];
      const model = denseModel();
      await using cluster = await Cluster.local({ workers: 2, backend: 'cpu', ...(onEvent && { onEvent }) });
      await cluster.fit(model, rowsOfWaves(40), {
        epochs: 2,
        batchSize: 16,
        onEvent: ({ type }) => heard.push(type),
      });
      return { heard, weights: model.getWeights().map((weight) => Array.from(weight.dataSync())) };
    };
    const quiet = await trained();
    const thrown: string[] = [];
    const loud = await trained(({ type }) => {
      thrown.push(type);
      throw new RangeError(`no interest in ${type}`);
    });
    expect(loud.weights).toEqual(quiet.weights);
    expect(loud.heard.filter((type) => type === 'step')).toHaveLength(2 * 3);
    expect(loud.heard.at(-1)).toBe('end');
    // Warnings are emitted in a later turn.
    await new Promise(setImmediate);
    expect(thrown).toContain('step');
    for (const type of thrown) expect(warnings).toContain(`no interest in ${type}`);
  } finally {
    process.off('warning', onWarning);
  }
});
