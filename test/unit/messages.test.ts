import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ShardPartial } from '../../shared/partial.js';
import type { ShardData } from '../../shared/program.js';
import { decodePartial, encodePartial, partialBytes } from '../../shared/protocol/partial-payload.js';
import { fitsToCoordinator, fitsToWorker } from '../../shared/protocol/payload-length.js';
import {
  decodeShardData,
  decodeTensors,
  encodeShardData,
  encodeTensors,
} from '../../shared/protocol/tensor-payload.js';
import { type ToCoordinator, toCoordinator } from '../../shared/protocol/to-coordinator.js';
import { type ToWorker, toWorker } from '../../shared/protocol/to-worker.js';
import type { HostTensor } from '../../shared/tensors.js';

const hash = '0f'.repeat(32);

const workerMessages: ToWorker[] = [
  {
    type: 'setup',
    program: {
      topology: { class_name: 'Sequential', config: { name: 'net', layers: [] }, keras_version: null },
      frozenLayers: ['base/conv'],
      outputs: [
        { name: 'y', loss: { kind: 'builtin', name: 'huber', params: { delta: 1.5 } }, lossWeight: 0.25 },
        { name: 'z', loss: { kind: 'job', key: 'losses.mine', name: 'mine' }, lossWeight: 1 },
      ],
      metrics: [
        {
          output: 0,
          metric: { kind: 'builtin', name: 'mae', params: { sparse: true } },
          weighted: false,
          label: 'mae',
        },
      ],
      seed: -5,
    },
    manifestHash: hash,
    backend: 'wasm',
    threads: 1,
    jobSha256: null,
    heartbeatMs: 1_000,
    canary: null,
  },
  { type: 'weights', version: 12 },
  { type: 'data', round: 4, shard: 3, tensors: [{ role: 'x', index: 0, dtype: 'uint8', shape: [2, 3] }] },
  {
    type: 'compute',
    round: 4,
    kind: 'train',
    version: 12,
    step: 9,
    batchRows: 32,
    digest: false,
    shards: 4,
    lo: 2,
    hi: 4,
  },
  { type: 'cancel', round: 4 },
  { type: 'heartbeat' },
  {
    type: 'rejected',
    code: 'stale_step',
    message: 'You computed this for a step that is already committed.',
  },
  { type: 'goodbye', reason: 'the run is complete' },
];

const coordinatorMessages: ToCoordinator[] = [
  {
    type: 'ready',
    manifestHash: hash,
    fingerprint: {
      backend: 'wasm',
      program: 'eager',
      lockstep: '0.1.0',
      tfjs: '4.22.0',
      kernels: '@tensorflow/tfjs-backend-wasm@4.22.0',
      libtensorflow: null,
      node: 'v20.20.2',
      arch: 'x64',
      cpuModel: null,
      instructionSet: 'simd',
      device: null,
      threads: 1,
      flags: null,
    },
    threads: 1,
    pid: 4_711,
    host: 'node-a',
    canary: { sha256: hash, ms: 12.5 },
    fallback: 'the kernel Conv3D has no mapping (layer solid)',
  },
  {
    type: 'partial',
    round: 4,
    lo: 2,
    hi: 4,
    computeMs: 12.5,
    digests: [{ shard: 2, variables: ['a'.repeat(32)] }],
    sections: { gradient: 3, sums: 2, moments: [{ batchNorm: 0, channels: 2 }], scores: [3] },
  },
  { type: 'outputs', round: 4, lo: 0, hi: 1, computeMs: 1, tensors: [{ dtype: 'float32', shape: [3, 1] }] },
  { type: 'failed', order: null, shard: null, code: 'BACKEND_UNAVAILABLE', message: 'none', hint: 'doctor' },
  {
    ...{ type: 'failed', order: { round: 4, lo: 0, hi: 2 }, shard: 1 },
    ...{ code: 'WORKER_FAILED', message: 'no', hint: 'none' },
  },
  { type: 'heartbeat', state: { phase: 'idle' } },
  { type: 'heartbeat', state: { phase: 'computing', round: 4, shard: 3 } },
  { type: 'goodbye', reason: 'SIGTERM' },
];

describe('messages', () => {
  it('accept each message as it is', () => {
    for (const message of workerMessages) expect(toWorker.parse(message)).toEqual(message);
    for (const message of coordinatorMessages) expect(toCoordinator.parse(message)).toEqual(message);
  });

  it('accept no message of the other direction, except those that both have', () => {
    const shared = ['heartbeat', 'goodbye'];
    for (const message of workerMessages) {
      if (!shared.includes(message.type)) expect(toCoordinator.safeParse(message).success).toBe(false);
    }
    for (const message of coordinatorMessages) {
      if (!shared.includes(message.type)) expect(toWorker.safeParse(message).success).toBe(false);
    }
  });

  it('refuse a message with any field missing or any field too many', () => {
    const check = (
      schema: typeof toWorker | typeof toCoordinator,
      message: ToWorker | ToCoordinator,
    ): void => {
      expect(schema.safeParse({ ...message, extra: 1 }).success).toBe(false);
      for (const field of Object.keys(message)) {
        const rest = Object.fromEntries(Object.entries(message).filter(([key]) => key !== field));
        expect(schema.safeParse(rest).success, `${message.type} without ${field}`).toBe(false);
      }
    };
    for (const message of workerMessages) check(toWorker, message);
    for (const message of coordinatorMessages) check(toCoordinator, message);
  });

  it.each([
    ['an empty range', { lo: 2, hi: 2 }],
    ['a range beyond the shards', { lo: 2, hi: 5 }],
    ['a fractional shard', { lo: 0.5, hi: 2 }],
    ['a negative step', { step: -1 }],
    ['more shards than a run can have', { shards: 2 ** 30 }],
    ['an infinite step', { step: Number.POSITIVE_INFINITY }],
  ])('refuse a compute with %s', (_, change) => {
    expect(toWorker.safeParse({ ...workerMessages[3], ...change }).success).toBe(false);
  });

  it.each([
    ['a gap between inputs', [x(0), x(2)]],
    ['the same input twice', [x(0), x(0)]],
    ['weights of a target that is not there', [x(0), y(0), weight(1)]],
    ['the same weights twice', [y(0), weight(0), weight(0)]],
  ])('refuse data with %s', (_, tensors) => {
    expect(toWorker.safeParse({ type: 'data', round: 0, shard: 0, tensors }).success).toBe(false);
  });

  it('never throw on what a peer sends', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(toWorker.safeParse(value).success).toBe(false);
        expect(toCoordinator.safeParse(value).success).toBe(false);
      }),
    );
  });
});

function header(role: 'x' | 'y' | 'weight', index: number) {
  return { role, index, dtype: 'float32' as const, shape: [1] };
}
function x(index: number) {
  return header('x', index);
}
function y(index: number) {
  return header('y', index);
}
function weight(index: number) {
  return header('weight', index);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.byteLength;
  }
  return whole;
}

/** Any bits, NaN payloads and negative zeros included. */
const floats = (maxLength: number) =>
  fc
    .uint8Array({ minLength: 0, maxLength })
    .map((raw) => new Float32Array(raw.slice(0, raw.length & ~3).buffer));
const doubles = (length: number) =>
  fc
    .uint8Array({ minLength: 8 * length, maxLength: 8 * length })
    .map((raw) => new Float64Array(raw.slice().buffer));

const partials: fc.Arbitrary<ShardPartial> = fc.record({
  gradient: floats(100),
  sums: fc.nat(5).chain(doubles),
  moments: fc.array(
    fc
      .nat(4)
      .chain((channels) =>
        fc.record({ batchNorm: fc.nat(3), count: fc.nat(9), mean: doubles(channels), m2: doubles(channels) }),
      ),
    { maxLength: 3 },
  ),
  scores: fc.array(floats(40), { maxLength: 3 }),
});

const raw = (array: ArrayBufferView): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

describe('a partial', () => {
  it('arrives with the same bits, as views of the payload', () => {
    fc.assert(
      fc.property(partials, (partial) => {
        const { sections, payload } = encodePartial(partial);
        const bytes = joined(payload);
        expect(bytes.byteLength).toBe(partialBytes(sections));
        const decoded = decodePartial(sections, bytes);
        expect(raw(decoded.gradient)).toEqual(raw(partial.gradient));
        expect(raw(decoded.sums)).toEqual(raw(partial.sums));
        expect(decoded.moments.map(({ batchNorm, count }) => [batchNorm, count])).toEqual(
          partial.moments.map(({ batchNorm, count }) => [batchNorm, count]),
        );
        partial.moments.forEach(({ mean, m2 }, i) => {
          expect(raw(decoded.moments[i].mean)).toEqual(raw(mean));
          expect(raw(decoded.moments[i].m2)).toEqual(raw(m2));
        });
        expect(decoded.scores.map(raw)).toEqual(partial.scores.map(raw));
        for (const view of [decoded.gradient, decoded.sums, ...decoded.scores])
          expect(view.buffer).toBe(bytes.buffer);
      }),
    );
  });

  it('lies in memory as docs/protocol.md says', () => {
    const { sections, payload } = encodePartial({
      gradient: Float32Array.of(1, 2, 3),
      sums: Float64Array.of(4, 5),
      moments: [{ batchNorm: 1, count: 6, mean: Float64Array.of(7), m2: Float64Array.of(8) }],
      scores: [Float32Array.of(9)],
    });
    const bytes = joined(payload);
    const view = new DataView(bytes.buffer);
    expect(sections).toEqual({ gradient: 3, sums: 2, moments: [{ batchNorm: 1, channels: 1 }], scores: [1] });
    expect([0, 4, 8, 12].map((at) => view.getFloat32(at, true))).toEqual([1, 2, 3, 0]);
    expect([16, 24, 32, 40, 48].map((at) => view.getFloat64(at, true))).toEqual([4, 5, 6, 7, 8]);
    expect([56, 60].map((at) => view.getFloat32(at, true))).toEqual([9, 0]);
    expect(bytes.byteLength).toBe(64);
  });

  it('fits its message only with exactly its bytes', () => {
    const message = coordinatorMessages[1];
    // 3 float32 padded to 16, 2 float64, count + 2 means + 2 m2, 3 float32 padded to 16
    const bytes = 16 + 16 + 40 + 16;
    expect(fitsToCoordinator(message, bytes)).toBe(true);
    expect(fitsToCoordinator(message, bytes - 8)).toBe(false);
    expect(fitsToCoordinator(message, bytes + 8)).toBe(false);
    expect(fitsToCoordinator({ type: 'goodbye', reason: '' }, 8)).toBe(false);
    expect(fitsToWorker({ type: 'weights', version: 0 }, 10)).toBe(false);
  });
});

describe('tensors', () => {
  const image: HostTensor = { dtype: 'uint8', shape: [1, 3], data: Uint8Array.of(1, 2, 3) };
  const label: HostTensor = { dtype: 'int32', shape: [1], data: Int32Array.of(-7) };
  const rowWeight: HostTensor = { dtype: 'float32', shape: [1], data: Float32Array.of(0.5) };
  const scalar: HostTensor = { dtype: 'float32', shape: [], data: Float32Array.of(2.5) };
  const none: HostTensor = { dtype: 'float32', shape: [0, 4], data: new Float32Array(0) };

  it('arrive as they were, scalars and empty ones too', () => {
    const tensors = [image, scalar, none, label];
    const encoded = encodeTensors(tensors);
    const bytes = joined(encoded.payload);
    expect(bytes.byteLength).toBe(8 + 8 + 0 + 8);
    expect(decodeTensors(encoded.tensors, bytes)).toEqual(tensors);
  });

  it.each<[string, ShardData]>([
    [
      'inputs, targets and the weights of one target',
      { x: [image, scalar], y: [label, scalar], sampleWeights: [null, rowWeight] },
    ],
    ['inputs alone', { x: [image], y: [], sampleWeights: [] }],
  ])('of a shard come back in their roles: %s', (_, shard) => {
    const { tensors, payload } = encodeShardData(shard);
    const message = toWorker.parse({ type: 'data', round: 0, shard: 0, tensors });
    expect(fitsToWorker(message, joined(payload).byteLength)).toBe(true);
    expect(decodeShardData(tensors, joined(payload))).toEqual(shard);
  });
});
