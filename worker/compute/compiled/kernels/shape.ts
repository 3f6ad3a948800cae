import * as tf from '@tensorflow/tfjs';
import { sizeOf } from '../../../../shared/tensors.js';
import type { KernelCall, Value, ValueType } from '../graph.js';
import { hasPlanes, type Lowering, planesShape, toPlanes } from '../lowering.js';
import { CompileRefusal } from '../refusal.js';
import { axesOf, integersOf, type KernelMapping, type KernelTable, numberOf, oneOf } from './kernel.js';

/* Kernels that move, repeat or join elements, and compute none. ONNX operator set 18. */

const withoutOnes = (shape: readonly number[]): number[] => shape.filter((dim) => dim !== 1);

/** `physical` of a value of shape `from`, in the shape `to` that differs by axes of one element; null if it does not. */
function movedPhysical(
  physical: readonly number[],
  from: readonly number[],
  to: readonly number[],
): number[] | null {
  if (String(withoutOnes(from)) !== String(withoutOnes(to))) return null;
  const rest = physical.filter((_, axis) => from[axis] !== 1).values();
  return to.map((dim) => (dim === 1 ? 1 : (rest.next().value ?? 1)));
}

function emitReshape({ inputs: { x }, outputs: [output] }: KernelCall, lowering: Lowering): void {
  const physical = lowering.physical(x);
  const { onnx } = lowering;
  if (physical.length === 0) return lowering.share(output, x);
  const complete = String(physical) === String(x.shape);
  const moved = complete ? null : movedPhysical(physical, x.shape, output.shape);
  if (moved !== null) {
    const name = onnx.op('Reshape', [lowering.lazy(x), onnx.integers(moved)]);
    return lowering.set(output, name, { physical: moved });
  }
  if (complete && hasPlanes(x.shape.length) && lowering.inPlanes(x)) {
    const { shape } = output;
    const planes = lowering.full(x, 'planes');
    if (hasPlanes(shape.length) && shape[0] === x.shape[0] && shape.at(-1) === x.shape.at(-1)) {
      return lowering.set(output, lowering.reshape(planes, planesShape(shape)), { layout: 'planes' });
    }
    if (sizeOf(x.shape.slice(1, -1)) === 1) return lowering.set(output, lowering.reshape(planes, shape));
  }
  lowering.set(output, lowering.reshape(lowering.full(x), output.shape));
}

const reshape: KernelMapping = {
  infer: ({ x }, attributes) => {
    const shape = tf.util.inferFromImplicitShape(integersOf(attributes, 'shape'), sizeOf(x.shape));
    return oneOf(shape, x.dtype);
  },
  emit: emitReshape,
};

const expandDims: KernelMapping = {
  infer: ({ input }, attributes) => {
    const dim = numberOf(attributes, 'dim');
    const shape = [...input.shape];
    shape.splice(dim < 0 ? shape.length + 1 + dim : dim, 0, 1);
    return oneOf(shape, input.dtype);
  },
  emit: (call, lowering) => emitReshape({ ...call, inputs: { x: call.inputs.input } }, lowering),
};

const transpose: KernelMapping = {
  infer: ({ x }, attributes) =>
    oneOf(
      integersOf(attributes, 'perm').map((axis) => x.shape[axis]),
      x.dtype,
    ),
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const perm = integersOf(attributes, 'perm');
    const physical = lowering.physical(x);
    if (physical.length === 0) return lowering.share(output, x);
    const moved = perm.map((axis) => physical[axis]);
    // Channels put first are planes already, and planes' axes named in rows' order are rows.
    if (hasPlanes(perm.length) && String(perm) === String(toPlanes(perm.length)) && lowering.inPlanes(x)) {
      return lowering.set(output, lowering.lazy(x, 'planes'), { physical: moved });
    }
    lowering.set(output, lowering.onnx.op('Transpose', [lowering.lazy(x)], { perm }), { physical: moved });
  },
};

const tile: KernelMapping = {
  infer: ({ x }, attributes) => {
    const reps = integersOf(attributes, 'reps');
    return oneOf(
      x.shape.map((dim, axis) => dim * reps[axis]),
      x.dtype,
    );
  },
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const reps = integersOf(attributes, 'reps');
    const repeatsOnes = reps.every((times, axis) => times === 1 || x.shape[axis] === 1);
    if (repeatsOnes || lowering.physical(x).length === 0) return lowering.share(output, x);
    const { onnx } = lowering;
    lowering.set(output, onnx.op('Tile', [lowering.full(x), onnx.integers(reps)]));
  },
};

const filled =
  (value: (call: KernelCall) => number): KernelMapping['emit'] =>
  (call, lowering) => {
    const [output] = call.outputs;
    lowering.set(output, lowering.onnx.scalar(value(call), output.dtype), { physical: [] });
  };

const like = (value: number): KernelMapping => ({
  infer: ({ x }) => oneOf(x.shape, x.dtype),
  emit: filled(() => value),
});

const fill: KernelMapping = {
  infer: (_, attributes) => {
    const { dtype } = attributes;
    return oneOf(integersOf(attributes, 'shape'), (dtype ?? 'float32') as ValueType);
  },
  emit: filled(({ attributes }) => Number(attributes.value)),
};

const concat: KernelMapping = {
  infer: (inputs, attributes) => {
    const values = Object.values(inputs);
    const [axis] = axesOf(attributes.axis, values[0].shape.length);
    const length = values.reduce((sum, { shape }) => sum + shape[axis], 0);
    return oneOf(values[0].shape.with(axis, length), values[0].dtype);
  },
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const values = Object.values(inputs);
    const rank = output.shape.length;
    const [axis] = axesOf(attributes.axis, rank);
    const planes = hasPlanes(rank) && values.some((value) => lowering.inPlanes(value));
    const layout = planes ? 'planes' : 'rows';
    const place = planes ? toPlanes(rank).indexOf(axis) : axis;
    const names = values.map((value) => lowering.full(value, layout));
    lowering.set(output, lowering.onnx.op('Concat', names, { axis: place }), { layout });
  },
};

/** Where a slice begins and how long it is, for every axis; a kernel may be given fewer, and -1 for the rest. */
function sliceOf({ shape, dtype }: Value, { begin, size }: KernelCall['attributes']): [number[], number[]] {
  const x = { dataId: {}, shape: [...shape], dtype };
  const [begins, sizes] = tf.slice_util.parseSliceParams(x, begin as number[], size as number[]);
  return [begins, sizes];
}

const slice: KernelMapping = {
  infer: ({ x }, attributes) => oneOf(sliceOf(x, attributes)[1], x.dtype),
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const [begin, size] = sliceOf(x, attributes);
    const end = begin.map((from, axis) => from + size[axis]);
    const { onnx } = lowering;
    lowering.set(output, onnx.op('Slice', [lowering.full(x), onnx.integers(begin), onnx.integers(end)]));
  },
};

const pad: KernelMapping = {
  infer: ({ x }, { paddings }) =>
    oneOf(
      x.shape.map((dim, axis) => dim + (paddings as number[][])[axis][0] + (paddings as number[][])[axis][1]),
      x.dtype,
    ),
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const paddings = attributes.paddings as number[][];
    const { onnx } = lowering;
    const pads = onnx.integers([
      ...paddings.map(([before]) => before),
      ...paddings.map(([, after]) => after),
    ]);
    const constant = onnx.scalar(Number(attributes.constantValue), x.dtype);
    lowering.set(output, onnx.op('Pad', [lowering.full(x), pads, constant]));
  },
};

const reverse: KernelMapping = {
  infer: ({ x }) => oneOf(x.shape, x.dtype),
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const axes = axesOf(attributes.dims, x.shape.length);
    const { onnx } = lowering;
    if (axes.length === 0) return lowering.share(output, x);
    const all = (value: number) => onnx.integers(axes.map(() => value));
    const bounds = [all(-1), all(-(2 ** 31)), onnx.integers(axes), all(-1)];
    lowering.set(output, onnx.op('Slice', [lowering.full(x), ...bounds]));
  },
};

const pack: KernelMapping = {
  infer: (inputs, attributes) => {
    const values = Object.values(inputs);
    const shape = [...values[0].shape];
    const [axis] = axesOf(attributes.axis, shape.length + 1);
    shape.splice(axis, 0, values.length);
    return oneOf(shape, values[0].dtype);
  },
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const [axis] = axesOf(attributes.axis, output.shape.length);
    const one = output.shape.with(axis, 1);
    const names = Object.values(inputs).map((value) => lowering.reshaped(value, one));
    lowering.set(output, lowering.onnx.op('Concat', names, { axis }));
  },
};

function emitParts(
  x: Value,
  axis: number,
  sizes: readonly number[],
  call: KernelCall,
  lowering: Lowering,
): void {
  const { onnx } = lowering;
  const names = onnx.ops('Split', [lowering.full(x), onnx.integers(sizes)], sizes.length, { axis });
  call.outputs.forEach((output, i) => {
    const split = x.shape.with(axis, sizes[i]);
    const asItIs = String(split) === String(output.shape);
    lowering.set(output, asItIs ? names[i] : lowering.reshape(names[i], output.shape));
  });
}

const unpack: KernelMapping = {
  givesList: true,
  infer: ({ value }, attributes) => {
    const [axis] = axesOf(attributes.axis, value.shape.length);
    const shape = value.shape.filter((_, i) => i !== axis);
    return Array.from({ length: value.shape[axis] }, () => ({ shape, dtype: value.dtype }));
  },
  emit: (call, lowering) => {
    const { value } = call.inputs;
    const [axis] = axesOf(call.attributes.axis, value.shape.length);
    emitParts(value, axis, new Array(value.shape[axis]).fill(1), call, lowering);
  },
};

const split: KernelMapping = {
  givesList: true,
  infer: ({ x }, attributes) => {
    const [axis] = axesOf(attributes.axis, x.shape.length);
    const asked = attributes.numOrSizeSplits;
    if (Array.isArray(asked) && asked.includes(-1)) throw new CompileRefusal('a size left open', {});
    const sizes =
      typeof asked === 'number' ? new Array<number>(asked).fill(x.shape[axis] / asked) : (asked as number[]);
    return sizes.map((size) => ({ shape: x.shape.with(axis, size), dtype: x.dtype }));
  },
  emit: (call, lowering) => {
    const { x } = call.inputs;
    const [axis] = axesOf(call.attributes.axis, x.shape.length);
    const sizes = call.outputs.map(({ shape }) => shape[axis]);
    emitParts(x, axis, sizes, call, lowering);
  },
};

export const shapeKernels: KernelTable = {
  Reshape: reshape,
  ExpandDims: expandDims,
  Transpose: transpose,
  Tile: tile,
  Fill: fill,
  OnesLike: like(1),
  ZerosLike: like(0),
  Concat: concat,
  Slice: slice,
  PadV2: pad,
  Reverse: reverse,
  Pack: pack,
  Unpack: unpack,
  SplitV: split,
};
