import { invariant } from '../errors.js';
import type { Moments, ShardPartial } from '../partial.js';
import { bytesOf } from '../tensors.js';
import { joinPadded, padded } from './padding.js';
import type { PartialSections } from './to-coordinator.js';

/*
 * A partial's payload:
 *   gradient float32 · sums float64 · per call site of BatchNorm: count, mean…, m2… float64 · scores float32
 * each array padded to 8 bytes.
 */

/** Bytes of the payload that these sections describe. */
export function partialBytes({ gradient, sums, moments, scores }: PartialSections): number {
  return (
    padded(4 * gradient) +
    8 * sums +
    moments.reduce((sum, site) => sum + 8 * (1 + 2 * site.channels), 0) +
    scores.reduce((sum, length) => sum + padded(4 * length), 0)
  );
}

/** The arrays of a partial as they travel; only the counts of the moments are copied. */
export function encodePartial(partial: ShardPartial): { sections: PartialSections; payload: Uint8Array[] } {
  return {
    sections: {
      gradient: partial.gradient.length,
      sums: partial.sums.length,
      moments: partial.moments.map(({ batchNorm, mean }) => ({ batchNorm, channels: mean.length })),
      scores: partial.scores.map((scores) => scores.length),
    },
    payload: joinPadded([
      bytesOf(partial.gradient),
      bytesOf(partial.sums),
      ...partial.moments.flatMap(({ count, mean, m2 }) => [
        bytesOf(Float64Array.of(count)),
        bytesOf(mean),
        bytesOf(m2),
      ]),
      ...partial.scores.map(bytesOf),
    ]),
  };
}

/**
 * Views the payload as the partial it holds, without a copy: the partial owns the payload's memory from here.
 * @param payload aligned to 8 bytes and as long as `partialBytes(sections)`: a session has checked both
 */
export function decodePartial(sections: PartialSections, payload: Uint8Array): ShardPartial {
  invariant(payload.byteLength === partialBytes(sections), 'a partial whose payload has another length');
  const buffer = payload.buffer as ArrayBuffer;
  let offset = payload.byteOffset;
  const float32 = (length: number): Float32Array => {
    const view = new Float32Array(buffer, offset, length);
    offset += padded(view.byteLength);
    return view;
  };
  const float64 = (length: number): Float64Array => {
    const view = new Float64Array(buffer, offset, length);
    offset += view.byteLength;
    return view;
  };
  const site = ({ batchNorm, channels }: PartialSections['moments'][number]): Moments => ({
    batchNorm,
    count: float64(1)[0],
    mean: float64(channels),
    m2: float64(channels),
  });
  return {
    gradient: float32(sections.gradient),
    sums: float64(sections.sums),
    moments: sections.moments.map(site),
    scores: sections.scores.map(float32),
  };
}
