import type { KernelCall, Value } from '../graph.js';
import type { Lowering } from '../lowering.js';
import { CompileRefusal } from '../refusal.js';
import { emitActivation, isFusedActivation } from './elementwise.js';
import { integersOf, type KernelMapping, type KernelTable, oneOf } from './kernel.js';
import {
  convolutionWindow,
  paddingOf,
  transposedAttributes,
  type Window,
  windowAttributes,
} from './window.js';

/*
 * 2-D convolutions and their gradients, in planes. ONNX operator set 18. The input's gradient is a ConvTranspose
 * (its weights are Conv's own); the filter's is one matrix product per position of the filter, of the image as that
 * position sees it with dy: of five forms the fastest on a processor for a 3×3 filter over 26×26 pixels.
 */

/** Filter [height, width, in, out] as Conv has it: [out, in, height, width]. */
function convFilter(filter: Value, lowering: Lowering): string {
  const name = lowering.full(filter);
  return lowering.once(`${name} for Conv`, () =>
    lowering.onnx.op('Transpose', [name], { perm: [3, 2, 0, 1] }),
  );
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

/** The Add after a convolution that adds one number per channel, which Conv does in the same pass. */
function biasAfter(output: Value, lowering: Lowering): { bias: Value; sum: Value } | null {
  const add = lowering.soleConsumerOf(output);
  if (add?.kernel !== 'Add') return null;
  const { a, b } = add.inputs;
  const bias = a === output ? b : a;
  const fits = bias.shape.length === 1 && bias.shape[0] === output.shape[3] && lowering.has(bias);
  return fits ? { bias, sum: add.outputs[0] } : null;
}

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

/** The pixels of x that each position of the filter meets: [rows, channels, pixels of the output], one per position. */
function slices({ x }: KernelCall['inputs'], window: Window, lowering: Lowering): string[] {
  const { onnx } = lowering;
  const { before, after } = paddingOf(window);
  const { outHeight, outWidth, strideHeight, strideWidth, dilationHeight, dilationWidth } = window;
  let image = lowering.full(x, 'planes');
  if ([...before, ...after].some((count) => count > 0)) {
    const pads = onnx.integers([0, 0, ...before, 0, 0, ...after]);
    image = onnx.op('Pad', [image, pads, onnx.scalar(0)]);
  }
  const shape = [window.batchSize, window.inChannels, outHeight * outWidth];
  const found: string[] = [];
  for (let top = 0; top < window.effectiveFilterHeight; top += dilationHeight) {
    for (let left = 0; left < window.effectiveFilterWidth; left += dilationWidth) {
      const end = [top + (outHeight - 1) * strideHeight + 1, left + (outWidth - 1) * strideWidth + 1];
      const bounds = [[top, left], end, [2, 3], [strideHeight, strideWidth]];
      found.push(lowering.reshape(onnx.op('Slice', [image, ...bounds.map((b) => onnx.integers(b))]), shape));
    }
  }
  return found;
}

/** Up to here a product per position is a few rows high, and one product of all positions takes a third of the time. */
const fewChannels = 4;

const filterGradient = (kind: Kind): KernelMapping => ({
  infer: ({ x }, attributes) => oneOf(integersOf(attributes, 'filterShape'), x.dtype),
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const window = convolutionWindow(inputs.x.shape, output.shape, attributes, kind.depthwise);
    const { batchSize, inChannels, outChannels, outHeight, outWidth } = window;
    const pixels = outHeight * outWidth;
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
  DepthwiseConv2dNative: convolution(depthwise),
  FusedDepthwiseConv2D: convolution(depthwise),
  DepthwiseConv2dNativeBackpropInput: inputGradient(depthwise),
  DepthwiseConv2dNativeBackpropFilter: filterGradient(depthwise),
};
