import { invariant } from '../../../shared/errors.js';
import { sizeOf } from '../../../shared/tensors.js';
import type { KernelCall, Value } from './graph.js';
import type { OnnxGraph } from './onnx/onnx-graph.js';

/** `rows`: as TensorFlow.js has it, channels last. `planes`: [rows, channels, …sizes], as ONNX convolves. */
export type Layout = 'rows' | 'planes';

/** Whether tensors of a rank can be in planes: images and volumes. */
export const hasPlanes = (rank: number): boolean => rank === 4 || rank === 5;

/** The permutation from rows to planes, and back. */
export const toPlanes = (rank: number): number[] => [0, rank - 1, ...between(1, rank - 1)];
const toRows = (rank: number): number[] => [0, ...between(2, rank), 1];

const between = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/**
 * A value in the ONNX graph: in one layout or, once somebody wanted the other, in both. `physical` is its shape in
 * the order of rows: the value's own, or 1 where what follows would only repeat along an axis, or `[]` for a single
 * number that stands for all.
 */
interface Form {
  rows: string | null;
  planes: string | null;
  readonly physical: readonly number[];
}

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((dim, axis) => dim === b[axis]);

export const planesShape = (shape: readonly number[]): number[] =>
  hasPlanes(shape.length) ? toPlanes(shape.length).map((axis) => shape[axis]) : [...shape];

/** Which ONNX values stand for the traced ones. */
export class Lowering {
  readonly onnx: OnnxGraph;
  readonly #forms = new Map<Value, Form>();
  readonly #derived = new Map<string, string>();
  readonly #consumers: ReadonlyMap<Value, readonly KernelCall[]>;
  readonly #wanted: ReadonlySet<Value>;

  /**
   * @param consumers the live calls that take a value as an input
   * @param wanted what the graph gives
   */
  constructor(
    onnx: OnnxGraph,
    consumers: ReadonlyMap<Value, readonly KernelCall[]>,
    wanted: ReadonlySet<Value>,
  ) {
    this.onnx = onnx;
    this.#consumers = consumers;
    this.#wanted = wanted;
  }

  /** Whether a value has been made, perhaps by the mapping of a kernel before its own. */
  has(value: Value): boolean {
    return this.#forms.has(value);
  }

  /** The one call that takes the value, if nothing else sees it. */
  soleConsumerOf(value: Value): KernelCall | null {
    const consumers = this.consumersOf(value);
    return consumers.length === 1 && !this.#wanted.has(value) ? consumers[0] : null;
  }

  consumersOf(value: Value): readonly KernelCall[] {
    return this.#consumers.get(value) ?? [];
  }

  set(value: Value, name: string, { layout = 'rows' as Layout, physical = value.shape } = {}): void {
    const form: Form = { rows: null, planes: null, physical };
    form[layout] = name;
    this.#forms.set(value, form);
  }

  /** Gives a value another one's form: where both hold the same numbers, or one a broadcast of the other. */
  share(value: Value, like: Value): void {
    this.#forms.set(value, this.#form(like));
  }

  physical(value: Value): readonly number[] {
    return this.#form(value).physical;
  }

  /** Whether a value is at hand in planes and not in rows. */
  inPlanes(value: Value): boolean {
    return this.#form(value).rows === null;
  }

  /** The value, possibly broadcastable only. */
  lazy(value: Value, layout: Layout = 'rows'): string {
    const form = this.#form(value);
    const single = form.physical.length === 0;
    const wanted = single ? 'rows' : layout;
    const found = form[wanted];
    if (found !== null) return found;
    const rank = form.physical.length;
    const perm = wanted === 'planes' ? toPlanes(rank) : toRows(rank);
    const other = form[wanted === 'planes' ? 'rows' : 'planes'];
    invariant(other !== null && hasPlanes(rank), 'a value without a form');
    const name = this.onnx.op('Transpose', [other], { perm });
    form[wanted] = name;
    return name;
  }

  /** The value in its own shape. */
  full(value: Value, layout: Layout = 'rows'): string {
    const form = this.#form(value);
    if (same(form.physical, value.shape)) return this.lazy(value, layout);
    const name = this.onnx.op('Expand', [this.lazy(value), this.onnx.integers(value.shape)]);
    this.set(value, name);
    return this.lazy(value, layout);
  }

  /** A name that is made once per key; keys name values by the ONNX names that they are made from. */
  once(key: string, make: () => string): string {
    const known = this.#derived.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#derived.set(key, name);
    return name;
  }

  /** `full` in another shape of as many elements. */
  reshaped(value: Value, shape: readonly number[]): string {
    if (same(shape, value.shape)) return this.full(value);
    const name = this.full(value);
    return this.once(`${name} as [${shape}]`, () => this.reshape(name, shape));
  }

  reshape(name: string, shape: readonly number[]): string {
    return this.onnx.op('Reshape', [name, this.onnx.integers(shape)]);
  }

  #form(value: Value): Form {
    const known = this.#forms.get(value);
    if (known !== undefined) return known;
    const { origin } = value;
    invariant(origin.kind === 'constant', 'a value is used before it is made');
    const single = uniformValue(value);
    if (single === null) {
      this.set(value, this.onnx.constant(value.dtype, value.shape, origin.data));
    } else {
      this.set(value, this.onnx.scalar(single, value.dtype), { physical: [] });
    }
    return this.#form(value);
  }
}

/** The number that all elements of a constant are, or null. */
export function uniformValue({ origin, shape }: Value): number | null {
  if (origin.kind !== 'constant' || sizeOf(shape) === 0) return null;
  const { data } = origin;
  for (let i = 1; i < data.length; i++) if (!Object.is(data[i], data[0])) return null;
  return data[0];
}
