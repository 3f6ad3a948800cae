// The entry of a coordinator whose memory is measured. Started by memory.ts; its argument is a MemoryCase.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { Cluster } from 'lockstep';
import type { MemoryCase } from './memory.js';

const { backend, parameters, workers, optimizer, checkpoints }: MemoryCase = JSON.parse(process.argv[2]);
const steps = 12;
const inputs = 512;
const hidden = 4;

/** `hidden` dense layers of one width each, of about so many parameters in all. */
function denseStack(): tf.LayersModel {
  const width = Math.max(1, Math.floor(Math.sqrt(parameters / hidden)));
  const units = Array.from({ length: hidden }, () => width);
  // Random initial values would pass through several copies before the run begins, and pages of zeros stay unmapped.
  const kernelInitializer = tf.initializers.constant({ value: 1e-4 });
  const layer = (layerUnits: number, inputDim?: number) =>
    tf.layers.dense({ units: layerUnits, inputDim, kernelInitializer, useBias: false });
  return tf.sequential({ layers: [layer(width, inputs), ...units.map((unit) => layer(unit)), layer(1)] });
}

const model = denseStack();
model.compile({ optimizer, loss: 'meanSquaredError' });
const directory = await mkdtemp(join(tmpdir(), 'lockstep-memory-'));
const cluster = await Cluster.local({ backend, workers });
const rows = 8 * steps;
const x = { dtype: 'float32' as const, shape: [rows, inputs], data: new Float32Array(rows * inputs).fill(1) };
await cluster.fit(
  model,
  { x, y: new Float32Array(rows).fill(1) },
  {
    batchSize: 8,
    shards: workers,
    ...(checkpoints && { checkpoint: { directory, everySteps: 3 } }),
  },
);
await cluster.close();
await rm(directory, { recursive: true, force: true });
process.send?.(process.resourceUsage().maxRSS * 1024);
