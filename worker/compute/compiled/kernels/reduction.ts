import { invariant } from '../../../../shared/errors.js';
import type { KernelCall, ValueType } from '../graph.js';
import { hasPlanes, type Lowering, toPlanes } from '../lowering.js';
import { axesOf, type KernelMapping, type KernelTable, numberOf, oneOf } from './kernel.js';

/* Kernels that reduce axes, or normalise along one. ONNX operator set 18: axes are an input. */

/** @param axisName the attribute that names the axes */
function reduction(type: string, axisName = 'axis'): KernelMapping {
  return {
    infer: ({ x }, attributes) => {
      const axes = axesOf(attributes[axisName], x.shape.length);
      const kept = attributes.keepDims === true;
      const shape = kept
        ? x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
        : x.shape.filter((_, axis) => !axes.includes(axis));
      return oneOf(shape, x.dtype);
    },
    emit: (call, lowering) => emitReduction(type, call, lowering, axesOfCall(call, axisName)),
  };
}

const axesOfCall = ({ inputs: { x }, attributes }: KernelCall, name: string): number[] =>
  axesOf(attributes[name], x.shape.length);

function emitReduction(type: string, call: KernelCall, lowering: Lowering, axes: number[]): void {
  const { x } = call.inputs;
  const [output] = call.outputs;
  if (axes.length === 0) return lowering.share(output, x);
  const { onnx } = lowering;
  const isKept = call.attributes.keepDims === true;
  const keepdims = Number(isKept);
  const rank = x.shape.length;
  const planes = toPlanes(rank);
  const kept = planes.filter((axis) => !axes.includes(axis));
  // What is left of planes is in the order of rows, or has a layout of its own.
  const ordered = isKept || kept.every((axis, i) => i === 0 || kept[i - 1] < axis);
  const full = lowering.physical(x).length === rank;
  if (full && hasPlanes(rank) && lowering.inPlanes(x) && ordered) {
    const places = axes.map((axis) => planes.indexOf(axis)).sort((a, b) => a - b);
    const name = onnx.op(type, [lowering.full(x, 'planes'), onnx.integers(places)], { keepdims });
    return lowering.set(output, name, { layout: isKept ? 'planes' : 'rows' });
  }
  lowering.set(output, onnx.op(type, [lowering.full(x), onnx.integers(axes)], { keepdims }));
}

/** `All` and `Any`: ONNX reduces numbers only. */
function logicalReduction(type: string): KernelMapping {
  return {
    infer: reduction(type).infer,
    emit: (call, lowering) => {
      const { onnx } = lowering;
      const axes = axesOfCall(call, 'axis');
      if (axes.length === 0) return lowering.share(call.outputs[0], call.inputs.x);
      const numbers = onnx.op('Cast', [lowering.full(call.inputs.x)], { to: 6 });
      const keepdims = Number(call.attributes.keepDims === true);
      const reduced = onnx.op(type, [numbers, onnx.integers(axes)], { keepdims });
      lowering.set(call.outputs[0], onnx.op('Cast', [reduced], { to: 9 }));
    },
  };
}

function position(type: string): KernelMapping {
  return {
    infer: ({ x }, { axis }) => {
      const [reduced] = axesOf(axis, x.shape.length);
      return oneOf(
        x.shape.filter((_, i) => i !== reduced),
        'int32' satisfies ValueType,
      );
    },
    emit: (call, lowering) => {
      const { onnx } = lowering;
      const [axis, ...others] = axesOfCall(call, 'axis');
      invariant(others.length === 0, `${type} over several axes`);
      const found = onnx.op(type, [lowering.full(call.inputs.x)], { axis, keepdims: 0 });
      lowering.set(call.outputs[0], onnx.op('Cast', [found], { to: 6 }));
    },
  };
}

const softmax: KernelMapping = {
  infer: ({ logits }) => oneOf(logits.shape, logits.dtype),
  emit: ({ inputs: { logits }, attributes, outputs: [output] }, lowering) => {
    const axis = numberOf(attributes, 'dim');
    lowering.set(output, lowering.onnx.op('Softmax', [lowering.full(logits)], { axis }));
  },
};

export const reductionKernels: KernelTable = {
  Sum: reduction('ReduceSum'),
  Mean: reduction('ReduceMean'),
  Prod: reduction('ReduceProd'),
  Max: reduction('ReduceMax', 'reductionIndices'),
  Min: reduction('ReduceMin', 'axis'),
  All: logicalReduction('ReduceMin'),
  Any: logicalReduction('ReduceMax'),
  ArgMax: position('ArgMax'),
  ArgMin: position('ArgMin'),
  Softmax: softmax,
};
