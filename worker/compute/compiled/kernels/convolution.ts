import { sizeOf } from '../../../../shared/tensors.js';
import type { KernelCall, Value } from '../graph.js';
import type { Lowering } from '../lowering.js';
import { CompileRefusal } from '../refusal.js';
import { biasAfter } from './bias.js';
import { emitActivation, isFusedActivation } from './elementwise.js';
import { integersOf, type KernelMapping, type KernelTable, oneOf } from './kernel.js';
import { slicesOf } from './positions.js';
import { convolutionWindow, transposedAttributes, type Window, windowAttributes } from './window.js';

/*
 * Convolutions of images and volumes and their gradients, in planes. ONNX operator set 18. The input's gradient is a ConvTranspose
 * (its weights are Conv's own); the filter's is one matrix product per position of the filter, of the image as that
 * position sees it with dy: of five forms the fastest on a processor for a 3×3 filter over 26×26 pixels.
 */

/** Filter [...size, in, out] as Conv has it: [out, in, ...size]. */
function convFilter(filter: Value, lowering: Lowering): string {
  const name = lowering.full(filter);
  const spatial = filter.shape.length - 2;
  const perm = [spatial + 1, spatial, ...filter.shape.keys()].slice(0, spatial + 2);
  return lowering.once(`${name} for Conv`, () => lowering.onnx.op('Transpose', [name], { perm }));
}

/** Filter [height, width, channels, multiplier] as a Conv with a group per channel has it. */
function depthwiseFilter(filter: Value, lowering: Lowering): string {
  const [height, width, channels, multiplier] = filter.shape;
  const name = lowering.full(filter);
  return lowering.once(`${name} for depthwise Conv`, () => {
    const moved = lowering.onnx.op('Transpose', [name], { perm: [2, 3, 0, 1] });
    return lowering.reshape(moved, [channels * multiplier, 1, height, width]);
  });
}

interface Kind {
  readonly depthwise: boolean;
  readonly filterOf: (filter: Value, lowering: Lowering) => string;
}

const full: Kind = { depthwise: false, filterOf: convFilter };
const depthwise: Kind = { depthwise: true, filterOf: depthwiseFilter };

const groupOf = (kind: Kind, { inChannels }: Window): number => (kind.depthwise ? inChannels : 1);

const convolution = (kind: Kind): KernelMapping => ({
  infer: ({ x, filter, preluActivationWeights }, attributes) => {
    if (preluActivationWeights || !isFusedActivation(attributes.activation)) {
      throw new CompileRefusal(`the activation ${attributes.activation}`, {});
    }
    return oneOf(convolutionWindow(x.shape, filter.shape, attributes, kind.depthwise).outShape, x.dtype);
  },
  emit: ({ inputs: { x, filter, bias }, attributes, outputs: [output] }, lowering) => {
    const window = convolutionWindow(x.shape, filter.shape, attributes, kind.depthwise);
    const inputs = [lowering.full(x, 'planes'), kind.filterOf(filter, lowering)];
    const added = bias === undefined ? biasAfter(output, lowering) : null;
    const shift = bias ?? added?.bias;
    if (shift) inputs.push(lowering.full(shift));
    const group = groupOf(kind, window);
    const name = lowering.onnx.op('Conv', inputs, { ...windowAttributes(window), group });
    const value = emitActivation(lowering.onnx, name, attributes);
    lowering.set(added?.sum ?? output, value, { layout: 'planes' });
  },
});

const inputGradient = (kind: Kind): KernelMapping => ({
  infer: ({ dy }, attributes) => oneOf(integersOf(attributes, 'inputShape'), dy.dtype),
  emit: ({ inputs: { dy, filter }, attributes, outputs: [output] }, lowering) => {
    const window = convolutionWindow(output.shape, filter.shape, attributes, kind.depthwise);
    const inputs = [lowering.full(dy, 'planes'), kind.filterOf(filter, lowering)];
    const group = groupOf(kind, window);
    const name = lowering.onnx.op('ConvTranspose', inputs, { ...transposedAttributes(window), group });
    lowering.set(output, name, { layout: 'planes' });
  },
});

/** The pixels of x that each position of the filter meets: [rows, channels, places of the window], one per position. */
function slices({ x }: KernelCall['inputs'], window: Window, lowering: Lowering): string[] {
  const { axes, batchSize, inChannels } = window;
  const shape = [batchSize, inChannels, sizeOf(axes.map(({ places }) => places))];
  return slicesOf(lowering.full(x, 'planes'), window, 0, lowering).map((slice) =>
    lowering.reshape(slice, shape),
  );
}

/** Up to here a product per position is a few rows high, and one product of all positions takes a third of the time. */
const fewChannels = 4;

const filterGradient = (kind: Kind): KernelMapping => ({
  infer: ({ x }, attributes) => oneOf(integersOf(attributes, 'filterShape'), x.dtype),
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const window = convolutionWindow(inputs.x.shape, output.shape, attributes, kind.depthwise);
    const { batchSize, inChannels, outChannels, axes } = window;
    const pixels = sizeOf(axes.map(({ places }) => places));
    const dy = lowering.full(inputs.dy, 'planes');
    const groups = kind.depthwise ? [batchSize, inChannels, outChannels / inChannels, pixels] : null;
    const slope = lowering.reshape(dy, groups ?? [batchSize, outChannels, pixels]);
    const positions = slices(inputs, window, lowering);
    const joinFirst = groups === null && inChannels <= fewChannels && positions.length > 1;
    const columns = joinFirst ? [onnx.op('Concat', positions, { axis: 1 })] : positions;
    const products = columns.map((slice) => {
      const left = groups === null ? slice : lowering.reshape(slice, [batchSize, inChannels, 1, pixels]);
      const product = onnx.runtimeOp('FusedMatMul', [left, slope], { transA: 0, transB: 1 });
      return onnx.op('ReduceSum', [product, onnx.integers([0])], { keepdims: 1 });
    });
    const joined = products.length === 1 ? products[0] : onnx.op('Concat', products, { axis: 0 });
    lowering.set(output, lowering.reshape(joined, output.shape));
  },
});

export const convolutionKernels: KernelTable = {
  Conv2D: convolution(full),
  FusedConv2D: convolution(full),
  Conv2DBackpropInput: inputGradient(full),
  Conv2DBackpropFilter: filterGradient(full),
  Conv3D: convolution(full),
  Conv3DBackpropInputV2: inputGradient(full),
  Conv3DBackpropFilterV2: filterGradient(full),
  DepthwiseConv2dNative: convolution(depthwise),
  FusedDepthwiseConv2D: convolution(depthwise),
  DepthwiseConv2dNativeBackpropInput: inputGradient(depthwise),
  DepthwiseConv2dNativeBackpropFilter: filterGradient(depthwise),
};
