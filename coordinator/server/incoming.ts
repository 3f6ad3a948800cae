import type { ShardPartial } from '../../shared/partial.js';
import { decodePartial } from '../../shared/protocol/partial-payload.js';
import { decodeTensors } from '../../shared/protocol/tensor-payload.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import type { HostTensor } from '../../shared/tensors.js';

/** What every partial of a run must look like; anything else is refused before it can touch the sum. */
export interface PartialShape {
  readonly trainableSize: number;
  readonly sums: number;
  readonly scores: number;
  /** Channels of each BatchNorm layer in the manifest's order. */
  readonly channels: readonly number[];
}

/** The partial a message carries, or null if it does not have the run's shape. */
export function readPartial(
  { sections }: ToCoordinatorOf<'partial'>,
  payload: Uint8Array,
  shape: PartialShape,
): ShardPartial | null {
  const gradientFits = sections.gradient === shape.trainableSize || sections.gradient === 0;
  const sitesFit = sections.moments.every(
    ({ batchNorm, channels }) => shape.channels[batchNorm] === channels,
  );
  if (!gradientFits || !sitesFit || sections.sums !== shape.sums || sections.scores.length !== shape.scores) {
    return null;
  }
  return decodePartial(sections, payload);
}

/** The outputs a message carries, or null if payload and header disagree. */
export function readOutputs(
  { tensors }: ToCoordinatorOf<'outputs'>,
  payload: Uint8Array,
): HostTensor[] | null {
  return decodeTensors(tensors, payload);
}
