import type { ShardData } from '../shared/program.js';
import type { HostTensor } from '../shared/tensors.js';

/** Of a row; null where the model leaves a length to the data. */
export type RowShape = readonly (number | null)[];

/** What the model that a worker has built says about the messages of its coordinator. */
export interface ModelShape {
  /** Elements of the flat vector of weights. */
  readonly weights: number;
  readonly inputs: readonly RowShape[];
  readonly outputs: readonly RowShape[];
}

/** Why this many bytes are not the model's weights; null if they may be. */
export function misfitOfWeights({ weights }: ModelShape, payloadBytes: number): string | null {
  const expected = 4 * weights;
  return payloadBytes === expected ? null : `weights of ${payloadBytes} bytes for a model of ${expected}`;
}

/**
 * Why this is no shard of the model's; null if it may be one. A coordinator checks every batch in the same way before it
 * sends it. How many rows a shard has is its own affair.
 */
export function misfitOfData(
  { inputs, outputs }: ModelShape,
  { x, y, sampleWeights }: ShardData,
): string | null {
  if (x.length !== inputs.length) return `data for ${x.length} inputs, of a model with ${inputs.length}`;
  // A prediction has no targets.
  if (y.length !== 0 && y.length !== outputs.length)
    return `data for ${y.length} outputs, of a model with ${outputs.length}`;
  const tensors = [...x, ...y, ...sampleWeights].flatMap((tensor) => tensor ?? []);
  const rows = tensors[0]?.shape[0];
  if (tensors.some(({ shape }) => shape[0] !== rows)) return 'tensors of different rows in one shard';
  const isRow = ({ shape: [, ...row] }: HostTensor, expected: RowShape): boolean =>
    row.length === expected.length && expected.every((dim, axis) => dim === null || dim === row[axis]);
  // Labels leave the last axis out, or have one class number there.
  const isTarget = (tensor: HostTensor, expected: RowShape): boolean =>
    [expected, expected.slice(0, -1), [...expected.slice(0, -1), 1]].some((shape) => isRow(tensor, shape));
  const fits =
    x.every((tensor, i) => isRow(tensor, inputs[i])) &&
    y.every((tensor, i) => isTarget(tensor, outputs[i])) &&
    sampleWeights.every((tensor) => tensor === null || isRow(tensor, []));
  return fits ? null : 'tensors of other shapes than the model takes';
}
