import { type Resizing, resizingMatrices } from '../../resizing.js';
import { integersOf, type KernelMapping, type KernelTable, oneOf } from './kernel.js';

/*
 * Resizing of images, in planes, as one matrix product per axis; of ONNX's Resize, neither the modes of its
 * coordinates nor its rounding are TensorFlow.js's. The gradients are matrix products as well: gradients/resize.ts.
 */

const resize = (bilinear: boolean): KernelMapping => ({
  infer: ({ images }, attributes) => {
    const [rows, , , channels] = images.shape;
    return oneOf([rows, ...integersOf(attributes, 'size'), channels], 'float32');
  },
  emit: ({ inputs: { images }, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const resizing = { ...attributes, bilinear } as unknown as Resizing;
    const [, height, width] = images.shape;
    const [vertical, horizontal] = resizingMatrices([height, width], resizing).map(({ shape, data }) =>
      onnx.constant('float32', shape, data),
    );
    const across = onnx.op('Transpose', [horizontal], { perm: [1, 0] });
    const wide = onnx.op('MatMul', [lowering.full(images, 'planes'), across]);
    lowering.set(output, onnx.op('MatMul', [vertical, wide]), { layout: 'planes' });
  },
});

export const resizeKernels: KernelTable = {
  ResizeBilinear: resize(true),
  ResizeNearestNeighbor: resize(false),
};
