import { sizeOf } from '../../../../shared/tensors.js';
import type { KernelCall, Value } from '../graph.js';
import { type Lowering, planesShape } from '../lowering.js';
import { emitSlopeAboveZero } from './elementwise.js';
import { type KernelMapping, type KernelTable, oneOf } from './kernel.js';
import { afterOf, poolingWindow, transposedAttributes, type Window, windowAttributes } from './window.js';

/*
 * Pooling of images and volumes and its gradients, in planes. ONNX operator set 18. The gradient of a maximum goes to where MaxPool
 * found it, the first of equals, as on TensorFlow.js's cpu backend: by MaxUnpool if windows do not overlap, else by
 * a ScatterElements that adds.
 */

/** MaxPool with the places of the maxima, once for the forward and the backward pass: [values, places]. */
function maxima(x: Value, window: Window, lowering: Lowering): [string, string] {
  const image = lowering.full(x, 'planes');
  const attributes = windowAttributes(window);
  let places = '';
  const values = lowering.once(`${image} maxima ${JSON.stringify(attributes)}`, () => {
    const [found, where] = lowering.onnx.ops('MaxPool', [image], 2, attributes);
    places = where;
    return found;
  });
  return [values, lowering.once(`${values} places`, () => places)];
}

const needsPlaces = (x: Value, lowering: Lowering): boolean =>
  lowering.consumersOf(x).some(({ kernel, inputs }) => kernel.endsWith('Grad') && inputs.input === x);

const maxPool: KernelMapping = {
  infer: ({ x }, attributes) => oneOf(poolingWindow(x.shape, attributes).outShape, x.dtype),
  emit: ({ inputs: { x }, attributes, outputs: [output] }, lowering) => {
    const window = poolingWindow(x.shape, attributes);
    const name = needsPlaces(x, lowering)
      ? maxima(x, window, lowering)[0]
      : lowering.onnx.op('MaxPool', [lowering.full(x, 'planes')], windowAttributes(window));
    lowering.set(output, name, { layout: 'planes' });
  },
};

/** Whether no pixel is in two windows, and none lies outside of the image. */
const tiles = ({ axes }: Window): boolean =>
  axes.every((a) => a.filter <= a.stride && a.before + afterOf(a) === 0);

/**
 * The gradient of relu, if that is what made the image and all that sees the pool's gradient. A maximum above 0 lies
 * where relu's result is above 0, so that the slopes can be cut before they are spread: a quarter of the work for
 * windows of four pixels.
 */
function reluGradientAfter({ inputs: { input }, outputs: [output] }: KernelCall, lowering: Lowering) {
  const next = lowering.soleConsumerOf(output);
  if (next?.kernel !== 'ReluGrad' || next.inputs.dy !== output) return null;
  const relu = lowering.consumersOf(next.inputs.x).find(({ kernel }) => kernel === 'Relu');
  return relu?.outputs[0] === input ? next : null;
}

/**
 * The gradient by a pool's image, with that of the relu before it if there is one.
 * @param pooled what the pool gave, in planes
 * @param spread brings slopes to where the maxima are, in planes
 */
export function emitMaxPoolGradient(
  call: KernelCall,
  lowering: Lowering,
  pooled: string,
  spread: (slope: string) => string,
): void {
  const reluGradient = reluGradientAfter(call, lowering);
  const [output] = (reluGradient ?? call).outputs;
  const whole = lowering.full(call.inputs.dy, 'planes');
  const slope = reluGradient === null ? whole : emitSlopeAboveZero(lowering.onnx, whole, pooled);
  lowering.set(output, spread(slope), { layout: 'planes' });
}

const maxPoolGrad: KernelMapping = {
  infer: ({ input }) => oneOf(input.shape, input.dtype),
  emit: (call, lowering) => {
    const { input } = call.inputs;
    const { onnx } = lowering;
    const window = poolingWindow(input.shape, call.attributes);
    const [pooled, places] = maxima(input, window, lowering);
    const shape = planesShape(input.shape);
    emitMaxPoolGradient(call, lowering, pooled, (slope) => {
      if (tiles(window)) {
        const { kernel_shape, strides } = windowAttributes(window);
        return onnx.op('MaxUnpool', [slope, places, onnx.integers(shape)], { kernel_shape, strides });
      }
      const zeros = onnx.op('Expand', [onnx.scalar(0), onnx.integers([sizeOf(shape)])]);
      const flat = [places, slope].map((name) => lowering.reshape(name, [-1]));
      const added = onnx.op('ScatterElements', [zeros, ...flat], { axis: 0, reduction: 'add' });
      return lowering.reshape(added, shape);
    });
  },
};

const coversImage = ({ axes }: Window): boolean => axes.every((a) => a.places === 1 && a.filter === a.length);

function emitAverage({ inputs: { x }, attributes, outputs: [output] }: KernelCall, lowering: Lowering): void {
  const { onnx } = lowering;
  const window = poolingWindow(x.shape, attributes);
  if (coversImage(window) && !lowering.inPlanes(x)) {
    const axes = onnx.integers(window.axes.map((_, i) => i + 1));
    return lowering.set(output, onnx.op('ReduceMean', [lowering.full(x), axes], { keepdims: 1 }));
  }
  const image = lowering.full(x, 'planes');
  const { dilations: _, ...moving } = windowAttributes(window);
  const name = coversImage(window)
    ? onnx.op('GlobalAveragePool', [image])
    : onnx.op('AveragePool', [image], { ...moving, count_include_pad: 0 });
  lowering.set(output, name, { layout: 'planes' });
}

/** Every pixel of a window gets the same share of its slope. Windows that reach out of the image: average-pool.ts. */
const avgPoolGrad: KernelMapping = {
  infer: ({ input }) => oneOf(input.shape, input.dtype),
  emit: ({ inputs: { dy }, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const window = poolingWindow(output.shape, attributes);
    const { axes, inChannels } = window;
    const filter = axes.map((a) => a.filter);
    const shares = onnx.op('Div', [lowering.full(dy, 'planes'), onnx.scalar(sizeOf(filter))]);
    const ones = onnx.op('Expand', [onnx.scalar(1), onnx.integers([inChannels, 1, ...filter])]);
    const attributesOfSpread = { ...transposedAttributes(window), group: inChannels };
    const name = onnx.op('ConvTranspose', [shares, ones], attributesOfSpread);
    lowering.set(output, name, { layout: 'planes' });
  },
};

const avgPool: KernelMapping = {
  infer: ({ x }, attributes) => oneOf(poolingWindow(x.shape, attributes).outShape, x.dtype),
  emit: emitAverage,
};

export const poolingKernels: KernelTable = {
  MaxPool: maxPool,
  MaxPoolGrad: maxPoolGrad,
  AvgPool: avgPool,
  AvgPoolGrad: avgPoolGrad,
  MaxPool3D: maxPool,
  MaxPool3DGrad: maxPoolGrad,
  AvgPool3D: avgPool,
  AvgPool3DGrad: avgPoolGrad,
};
