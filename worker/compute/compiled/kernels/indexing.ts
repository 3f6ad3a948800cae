import type { ValueType } from '../graph.js';
import { CompileRefusal } from '../refusal.js';
import { axesOf, type KernelMapping, type KernelTable, numberOf, oneOf } from './kernel.js';

/* Kernels that find elements by number. ONNX operator set 18. */

/** A number outside of the classes gives a row of `offValue`, as in TensorFlow.js; ONNX's OneHot counts from the end. */
const oneHot: KernelMapping = {
  infer: ({ indices }, attributes) => {
    const dtype = (attributes.dtype ?? 'int32') as ValueType;
    return oneOf([...indices.shape, numberOf(attributes, 'depth')], dtype);
  },
  emit: ({ inputs: { indices }, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const depth = numberOf(attributes, 'depth');
    const classes = onnx.constant(
      'int32',
      [depth],
      Int32Array.from({ length: depth }, (_, i) => i),
    );
    const column = lowering.reshaped(indices, [...indices.shape, 1]);
    const value = (name: string) => onnx.scalar(numberOf(attributes, name), output.dtype);
    const hit = onnx.op('Equal', [column, classes]);
    lowering.set(output, onnx.op('Where', [hit, value('onValue'), value('offValue')]));
  },
};

const gather: KernelMapping = {
  infer: ({ x, indices }, { axis: given, batchDims = 0 }) => {
    if (batchDims !== 0) throw new CompileRefusal('batch axes', {});
    const [axis] = axesOf(given, x.shape.length);
    return oneOf([...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], x.dtype);
  },
  emit: ({ inputs: { x, indices }, attributes, outputs: [output] }, lowering) => {
    const [axis] = axesOf(attributes.axis, x.shape.length);
    const names = [lowering.full(x), lowering.full(indices)];
    lowering.set(output, lowering.onnx.op('Gather', names, { axis }));
  },
};

const unsortedSegmentSum: KernelMapping = {
  infer: ({ x, segmentIds }, attributes) =>
    oneOf([numberOf(attributes, 'numSegments'), ...x.shape.slice(segmentIds.shape.length)], x.dtype),
  emit: ({ inputs: { x, segmentIds }, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const zeros = onnx.op('Expand', [onnx.scalar(0, x.dtype), onnx.integers(output.shape)]);
    const rows = lowering.reshaped(segmentIds, [...segmentIds.shape, 1]);
    const places = onnx.op('Cast', [rows], { to: 7 });
    const added = onnx.op('ScatterND', [zeros, places, lowering.full(x)], { reduction: 'add' });
    lowering.set(output, added);
  },
};

export const indexingKernels: KernelTable = {
  OneHot: oneHot,
  GatherV2: gather,
  UnsortedSegmentSum: unsortedSegmentSum,
};
