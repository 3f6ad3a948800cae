import { invariant } from '../../../../shared/errors.js';
import type { Attributes, KernelCall, ShapeAndType, Value, ValueType } from '../graph.js';
import type { Lowering } from '../lowering.js';
import type { Infer } from '../trace-backend.js';

/** How a TensorFlow.js kernel becomes ONNX operators. */
export interface KernelMapping {
  /** Shapes and types of the outputs. @throws CompileRefusal for attributes that have no mapping */
  readonly infer: Infer;
  /** Whether the kernel gives a list of tensors, even of one. */
  readonly givesList?: boolean;
  /** Adds the operators, and sets the form of every output. */
  readonly emit: (call: KernelCall, lowering: Lowering) => void;
}

export type KernelTable = Readonly<Record<string, KernelMapping>>;

export const oneOf = (shape: readonly number[], dtype: ValueType): ShapeAndType[] => [{ shape, dtype }];

/** An attribute that the kernel's contract says is there. */
export function integersOf(attributes: Attributes, name: string): number[] {
  const value = attributes[name];
  if (typeof value === 'number') return [value];
  invariant(Array.isArray(value) || ArrayBuffer.isView(value), `attribute ${name} is not a list`);
  return Array.from(value as ArrayLike<number>);
}

export function numberOf(attributes: Attributes, name: string): number {
  const value = attributes[name];
  invariant(typeof value === 'number', `attribute ${name} is not a number`);
  return value;
}

/** Axes counted from the front; all of them if none are given. */
export function axesOf(axis: unknown, rank: number): number[] {
  const all = Array.from({ length: rank }, (_, i) => i);
  if (axis === null || axis === undefined) return all;
  const given = typeof axis === 'number' ? [axis] : (axis as number[]);
  return given.map((value) => (value < 0 ? value + rank : value)).sort((a, b) => a - b);
}

export function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    const dims = shapes.map((shape) => shape[i - rank + shape.length] ?? 1);
    return dims.find((dim) => dim !== 1) ?? 1;
  });
}

export const shapeOf = ({ shape }: Value): readonly number[] => shape;
