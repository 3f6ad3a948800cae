import { sizeOf } from '../../../../shared/tensors.js';
import type { KernelCall, Value } from '../graph.js';
import type { Lowering } from '../lowering.js';
import { convolutionKernels } from './convolution.js';
import { elementwiseKernels } from './elementwise.js';
import type { KernelMapping, KernelTable } from './kernel.js';
import { emitMaxPoolGradient, poolingKernels } from './pooling.js';
import { addedUp, slicesOf } from './positions.js';
import { convolutionWindow, poolingWindow, type Window, windowAttributes } from './window.js';

/*
 * What ONNX Runtime's WebGPU provider lacks, from operators that it has. As of 1.30 its MaxPool gives no places, its
 * ConvTranspose takes images and no volumes, and gives wrong numbers where a group has several channels; and its Pow
 * fails at some shapes that broadcast.
 */

const maxPool = (): KernelMapping['emit'] => (call, lowering) => {
  const { inputs, attributes, outputs } = call;
  const window = poolingWindow(inputs.x.shape, attributes);
  lowering.set(outputs[0], maximum(lowering.full(inputs.x, 'planes'), window, lowering), {
    layout: 'planes',
  });
};

/** Once for the forward and the backward pass. */
function maximum(image: string, window: Window, lowering: Lowering): string {
  const attributes = windowAttributes(window);
  return lowering.once(`${image} maximum ${JSON.stringify(attributes)}`, () =>
    lowering.onnx.op('MaxPool', [image], attributes),
  );
}

/** Less than any pixel that is finite. */
const lowest = -3.4028234663852886e38;

const maxPoolGrad = (): KernelMapping['emit'] => (call, lowering) => {
  const { onnx } = lowering;
  const { input } = call.inputs;
  const window = poolingWindow(input.shape, call.attributes);
  const image = lowering.full(input, 'planes');
  const pooled = maximum(image, window, lowering);
  emitMaxPoolGradient(call, lowering, pooled, (slope) => {
    // 1 where no position before has had the maximum.
    let free: string | null = null;
    const given = slicesOf(image, window, lowest, lowering).map((slice) => {
      const is: string = onnx.op('Cast', [onnx.op('Equal', [slice, pooled])], { to: 1 });
      const isFirst: string = free === null ? is : onnx.op('Mul', [is, free]);
      free = onnx.op('Sub', [free ?? onnx.scalar(1), isFirst]);
      return onnx.op('Mul', [isFirst, slope]);
    });
    return addedUp(given, window.inChannels, window, lowering);
  });
};

const avgPoolGrad =
  (): KernelMapping['emit'] =>
  ({ inputs: { dy }, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const window = poolingWindow(output.shape, attributes);
    const pixels = sizeOf(window.axes.map(({ filter }) => filter));
    const share = onnx.op('Div', [lowering.full(dy, 'planes'), onnx.scalar(pixels)]);
    const given = new Array<string>(pixels).fill(share);
    lowering.set(output, addedUp(given, window.inChannels, window, lowering), { layout: 'planes' });
  };

/** A convolution's gradient by its image: what each position of the filter makes of the slope, added up. */
function emitInputGradient(call: KernelCall, lowering: Lowering, depthwise: boolean): void {
  const { onnx } = lowering;
  const { inputs, attributes, outputs } = call;
  const window = convolutionWindow(outputs[0].shape, inputs.filter.shape, attributes, depthwise);
  const { axes, batchSize, inChannels, outChannels } = window;
  const places = axes.map((a) => a.places);
  const pixels = sizeOf(places);
  const positions = sizeOf(axes.map((a) => a.filter));
  const dy = lowering.full(inputs.dy, 'planes');
  const multiplier = outChannels / inChannels;
  const slope = lowering.reshape(
    dy,
    depthwise ? [batchSize, inChannels, multiplier, pixels] : [batchSize, outChannels, pixels],
  );
  const matrix = depthwise ? [inChannels, 1, multiplier] : [inChannels, outChannels];
  const filter = lowering.reshaped(inputs.filter, [positions, ...matrix]);
  const given = Array.from({ length: positions }, (_, k) => {
    const bounds = [[k], [k + 1], [0]].map((bound) => onnx.integers(bound));
    const product = onnx.op('MatMul', [
      lowering.reshape(onnx.op('Slice', [filter, ...bounds]), matrix),
      slope,
    ]);
    return lowering.reshape(product, [batchSize, inChannels, ...places]);
  });
  lowering.set(outputs[0], addedUp(given, inChannels, window, lowering), { layout: 'planes' });
}

const conv3DInputGradient = (): KernelMapping['emit'] => (call, lowering) =>
  emitInputGradient(call, lowering, false);

const depthwiseInputGradient =
  (usual: KernelMapping['emit']): KernelMapping['emit'] =>
  (call, lowering) => {
    const [, , , multiplier] = call.inputs.filter.shape;
    if (multiplier === 1) usual(call, lowering);
    else emitInputGradient(call, lowering, true);
  };

const pow = (): KernelMapping['emit'] => (call, lowering) => {
  const { inputs, outputs } = call;
  const { shape } = outputs[0];
  const whole = (value: Value): string =>
    lowering.onnx.op('Expand', [lowering.full(value), lowering.onnx.integers(shape)]);
  lowering.set(outputs[0], lowering.onnx.op('Pow', [whole(inputs.a), whole(inputs.b)]));
};

const otherwise = (
  table: KernelTable,
  kernel: string,
  emitOf: (usual: KernelMapping['emit']) => KernelMapping['emit'],
): KernelTable => ({ [kernel]: { ...table[kernel], emit: emitOf(table[kernel].emit) } });

/** Mappings in place of those that other providers have. */
export const webgpuKernels: KernelTable = {
  ...otherwise(elementwiseKernels, 'Pow', pow),
  ...otherwise(poolingKernels, 'MaxPool', maxPool),
  ...otherwise(poolingKernels, 'MaxPoolGrad', maxPoolGrad),
  ...otherwise(poolingKernels, 'MaxPool3D', maxPool),
  ...otherwise(poolingKernels, 'MaxPool3DGrad', maxPoolGrad),
  ...otherwise(poolingKernels, 'AvgPool3DGrad', avgPoolGrad),
  ...otherwise(convolutionKernels, 'Conv3DBackpropInputV2', conv3DInputGradient),
  ...otherwise(convolutionKernels, 'DepthwiseConv2dNativeBackpropInput', depthwiseInputGradient),
};
