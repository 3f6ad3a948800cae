import { describe, expect, it } from 'vitest';
import { digestOfResult, readResult } from '../../coordinator/server/incoming.js';
import type { ShardPartial } from '../../shared/partial.js';
import { encodePartial } from '../../shared/protocol/partial-payload.js';
import { encodeTensors } from '../../shared/protocol/tensor-payload.js';
import type { HostTensor } from '../../shared/tensors.js';

const shape = {
  ...{ trainableSize: 3, variables: 1, sums: 2, scores: 1 },
  ...{ channels: [1], outputs: 1, outputElements: [2] },
};
const about = { round: 1, lo: 0, hi: 1, computeMs: 1 };

const float32 = (...bits: number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const float64 = (...bits: bigint[]): Float64Array => new Float64Array(BigUint64Array.from(bits).buffer);

/** What `Math.sqrt(-1)` and `Math.log(-1)` are on x64, and what JavaScript writes for `NaN`. */
const nans32 = [0xffc00000, 0x7fe00000, 0x7fc00000];
const nans64 = [0xfff8000000000000n, 0x7ffc000000000000n, 0x7ff8000000000000n];
const one32 = 0x3f800000;

/** The digest of a partial as it crosses the wire. */
function digestOf(part: Partial<ShardPartial> & { mean?: Float64Array }): string {
  const mean = part.mean ?? Float64Array.of(2);
  const partial: ShardPartial = {
    gradient: Float32Array.of(1, -2, 3),
    sums: Float64Array.of(4, 5),
    moments: [{ batchNorm: 0, count: 6, mean, m2: Float64Array.of(7) }],
    scores: [Float32Array.of(1, 0, 1)],
    ...part,
  };
  const { sections, payload } = encodePartial(partial);
  const message = { type: 'partial' as const, ...about, sections, digests: [] };
  const result = readResult(message, new Uint8Array(Buffer.concat(payload)), 'train', shape);
  if (result === null) throw new TypeError('a result of another shape');
  return digestOfResult(message, result);
}

function digestOfOutput(output: HostTensor): string {
  const { tensors, payload } = encodeTensors([output]);
  const message = { type: 'outputs' as const, ...about, tensors };
  const result = readResult(message, new Uint8Array(Buffer.concat(payload)), 'predict', shape);
  if (result === null) throw new TypeError('a result of another shape');
  return digestOfResult(message, result);
}

const different = (digests: readonly string[]): number => new Set(digests).size;

describe('two results for the same shards', () => {
  it('agree in a NaN, whichever bits it has', () => {
    expect(different(nans32.map((nan) => digestOf({ gradient: float32(one32, nan, one32) })))).toBe(1);
    expect(different(nans64.map((nan) => digestOf({ sums: float64(nan, 0n) })))).toBe(1);
    expect(different(nans64.map((nan) => digestOf({ mean: float64(nan) })))).toBe(1);
    expect(different(nans32.map((nan) => digestOf({ scores: [float32(nan, 0, one32)] })))).toBe(1);
    const outputs = nans32.map((nan) => ({ shape: [1, 2], data: float32(nan, one32) }));
    expect(different(outputs.map((output) => digestOfOutput({ dtype: 'float32', ...output })))).toBe(1);
  });

  it('disagree in one bit of a number, also of a zero, beside a NaN, and in where the NaN stands', () => {
    const [nan, , other] = nans32;
    const gradients = [
      float32(nan, 0, 0),
      float32(other, 0x80000000, 0),
      float32(nan, one32, 0),
      float32(nan, one32 + 1, 0),
      float32(one32, nan, 0),
      float32(0x7f800000, one32, 0),
      float32(0xff800000, one32, 0),
      float32(0, 0, 0),
    ];
    expect(different(gradients.map((gradient) => digestOf({ gradient })))).toBe(gradients.length);
    const sums = [float64(nans64[0], 0n), float64(nans64[1], 1n), float64(0n, nans64[2]), float64(0n, 0n)];
    expect(different(sums.map((own) => digestOf({ sums: own })))).toBe(sums.length);
  });

  it('disagree in every bit of whole numbers', () => {
    const outputs = nans32.map((bits) => Int32Array.of(bits, 1));
    const digests = outputs.map((data) => digestOfOutput({ dtype: 'int32', shape: [1, 2], data }));
    expect(different(digests)).toBe(outputs.length);
  });
});
