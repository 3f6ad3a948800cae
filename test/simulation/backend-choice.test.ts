import * as tf from '@tensorflow/tfjs';
import { afterEach, describe, expect, it } from 'vitest';
import { evaluateModel, predictModel } from '../../coordinator/loop/evaluate-model.js';
import { fitModel } from '../../coordinator/loop/fit.js';
import type { BackendChoice } from '../../shared/backends.js';
import { InProcessCluster, type InProcessClusterOptions } from './in-process-cluster.js';
import { features, tinyData, train, trainOn } from './tiny-training.js';

const clusters: InProcessCluster[] = [];

function clusterOf(options: InProcessClusterOptions): InProcessCluster {
  const cluster = new InProcessCluster(options);
  clusters.push(cluster);
  return cluster;
}

afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.close();
});

const warnings = ({ events }: InProcessCluster): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
const chosen = ({ access }: InProcessCluster) => access.conductor.reference.fingerprint?.backend;

/** Mirrors its rows in training, by a kernel without a mapping, and does nothing else. */
class Mirror extends tf.layers.Layer {
  static readonly className = 'Mirror';

  override call(inputs: tf.Tensor | tf.Tensor[], { training }: { training?: boolean }): tf.Tensor {
    const [x] = [inputs].flat();
    if (training !== true) return tf.clone(x);
    const border: [number, number][] = [
      [0, 0],
      [0, features],
    ];
    return tf.slice(tf.mirrorPad(x, border, 'symmetric'), [0, features], [-1, features]);
  }
}
tf.serialization.registerClass(Mirror);

/** A model that infers what can be compiled, and trains what cannot. */
function mirrored(): tf.LayersModel {
  const model = tf.sequential({
    layers: [new Mirror({ inputShape: [features], name: 'mirror' }), tf.layers.dense({ units: 1 })],
  });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  return model;
}

const data = tinyData(24);
const options = { batchSize: 8, epochs: 1, shuffle: false } as const;

describe('the backend of a run whose choice is open', () => {
  it('is that of its first worker, also for one that chose another at the same time', async () => {
    let answers = 0;
    const asked: BackendChoice[] = [];
    const cluster = clusterOf({
      workers: 2,
      backend: 'auto',
      onAnswer(_, answer) {
        if (answer.type !== 'ready') return;
        answers += 1;
        asked.push(answer.fingerprint.backend);
        // As on a machine without ONNX Runtime.
        const own = { ...answer.fingerprint, backend: 'wasm', program: 'eager' };
        if (answers === 2) Object.assign(answer, { fingerprint: own });
      },
    });
    const trained = await train(cluster, { epochs: 1 });
    expect(warnings(cluster)).toEqual([]);
    expect(cluster.here).toHaveLength(2);
    expect(asked).toEqual(['onnx:cpu', 'onnx:cpu', 'onnx:cpu']);
    const alone = await trainOn({ workers: 1, backend: 'onnx:cpu' }, { epochs: 1 });
    expect(trained.weightsSha256).toBe(alone.weightsSha256);
  });

  it('is chosen anew for each program: what cannot be compiled is computed op by op', async () => {
    const cluster = clusterOf({ workers: 2, backend: 'auto' });
    const model = mirrored();
    await predictModel(cluster.access, model, tf.zeros([4, features]), {});
    expect([chosen(cluster), warnings(cluster)]).toEqual(['onnx:cpu', []]);
    await fitModel(cluster.access, model, data, options);
    // tensorflow where it is installed.
    const eager = chosen(cluster);
    expect(['tensorflow', 'wasm']).toContain(eager);
    const warned = `^the model is not compiled but computed op by op on ${eager}: .*MirrorPad.*\\(layer mirror\\)$`;
    expect(warnings(cluster)).toEqual([expect.stringMatching(new RegExp(warned))]);
    await evaluateModel(cluster.access, model, data, {});
    expect(chosen(cluster)).toBe('onnx:cpu');
  });

  it("is nobody's where the compiled one was asked for: the run ends, with the kernel and the layer", async () => {
    const cluster = clusterOf({ workers: 1, backend: 'onnx' });
    await expect(fitModel(cluster.access, mirrored(), data, options)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(/cannot be compiled: .*MirrorPad/),
      hint: expect.stringContaining('--backend wasm'),
    });
  });
});
