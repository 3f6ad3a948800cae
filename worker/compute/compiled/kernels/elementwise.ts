import type { KernelCall, Value, ValueType } from '../graph.js';
import { hasPlanes, type Lowering, uniformValue } from '../lowering.js';
import type { OnnxAttributes, OnnxGraph } from '../onnx/onnx-graph.js';
import { biasAfter } from './bias.js';
import { broadcastShape, type KernelMapping, type KernelTable, numberOf, oneOf, shapeOf } from './kernel.js';

/*
 * Kernels that compute element by element, with numpy's broadcasting, which ONNX shares. They run in the layout
 * that their inputs are in, and on the smallest shapes that broadcast to the result. ONNX operator set 18.
 */

type Make = (onnx: OnnxGraph, names: readonly string[], call: KernelCall) => string;

/** Whether an input can take part in planes of a rank. */
const fitsPlanes = ({ shape }: Value, physical: readonly number[], rank: number): boolean =>
  shape.length === rank || shape.length === 1 || physical.length === 0;

/** Adds an operator over the inputs' elements. */
export function emitElementwise(
  lowering: Lowering,
  output: Value,
  inputs: readonly Value[],
  make: (names: readonly string[]) => string,
): void {
  const rank = output.shape.length;
  // A result's form has its rank, or none at all.
  for (const input of inputs) {
    const others = inputs.filter((other) => other !== input);
    const carries = input.shape.length === rank && lowering.physical(input).length < rank;
    if (carries && others.some((other) => lowering.physical(other).length > 0)) {
      const largest = Math.max(...others.map((other) => lowering.physical(other).length));
      if (largest < rank) lowering.full(input);
    }
  }
  const physicals = inputs.map((input) => lowering.physical(input));
  const physical = broadcastShape(physicals);
  const inPlanes =
    hasPlanes(rank) &&
    inputs.some((input) => input.shape.length === rank && lowering.inPlanes(input)) &&
    inputs.every((input, i) => fitsPlanes(input, physicals[i], rank));
  if (!inPlanes) {
    lowering.set(output, make(inputs.map((input) => lowering.lazy(input))), { physical });
    return;
  }
  const names = inputs.map((input, i) => {
    if (input.shape.length !== 1 || physicals[i].length === 0) return lowering.lazy(input, 'planes');
    const name = lowering.lazy(input);
    const shape = [physicals[i][0], ...new Array<number>(rank - 2).fill(1)];
    return lowering.once(`${name} as [${shape}]`, () => lowering.reshape(name, shape));
  });
  lowering.set(output, make(names), { layout: 'planes', physical });
}

function mapping(
  inputs: readonly string[],
  make: Make,
  dtype: (inputs: Readonly<Record<string, Value>>) => ValueType,
): KernelMapping {
  return {
    infer: (given) => oneOf(broadcastShape(inputs.map((name) => given[name].shape)), dtype(given)),
    emit: (call, lowering) => {
      const values = inputs.map((name) => call.inputs[name]);
      emitElementwise(lowering, call.outputs[0], values, (names) => make(lowering.onnx, names, call));
    },
  };
}

const unary = (make: Make): KernelMapping => mapping(['x'], make, ({ x }) => x.dtype);
const binary = (make: Make): KernelMapping => mapping(['a', 'b'], make, ({ a }) => a.dtype);
const comparison = (make: Make): KernelMapping => mapping(['a', 'b'], make, () => 'bool');
const named =
  (type: string, attributes: OnnxAttributes = {}): Make =>
  (onnx, names) =>
    onnx.op(type, names, attributes);

const sameNames = (...types: readonly string[]): KernelTable =>
  Object.fromEntries(types.map((type) => [type, unary(named(type))]));

/** log(1 + x) without the loss of digits near 0: Goldberg (1991), theorem 4. */
const log1p: Make = (onnx, [x]) => {
  const sum = onnx.op('Add', [x, onnx.scalar(1)]);
  const rounded = onnx.op('Sub', [sum, onnx.scalar(1)]);
  const small = onnx.op('Equal', [rounded, onnx.scalar(0)]);
  const ratio = onnx.op('Div', [onnx.op('Log', [sum]), rounded]);
  return onnx.op('Where', [small, x, onnx.op('Mul', [x, ratio])]);
};

/** exp(x) - 1 as 2·exp(x/2)·sinh(x/2). */
const expm1: Make = (onnx, [x]) => {
  const half = onnx.op('Mul', [x, onnx.scalar(0.5)]);
  const product = onnx.op('Mul', [onnx.op('Exp', [half]), onnx.op('Sinh', [half])]);
  return onnx.op('Mul', [product, onnx.scalar(2)]);
};

const whereAbove = (onnx: OnnxGraph, x: string, above: string, otherwise: string): string =>
  onnx.op('Where', [onnx.op('Greater', [x, onnx.scalar(0)]), above, otherwise]);

/** Multiplying by 1 gives the same bits; it is how TensorFlow.js broadcasts a gradient. */
const multiply: KernelMapping = {
  ...binary(named('Mul')),
  emit: (call, lowering) => {
    const { a, b } = call.inputs;
    const [output] = call.outputs;
    for (const [one, other] of [
      [a, b],
      [b, a],
    ]) {
      const keepsRank = other.shape.length === output.shape.length || lowering.physical(other).length === 0;
      if (keepsRank && uniformValue(one) === 1) return lowering.share(output, other);
    }
    if (emitScaleAndShift(call, lowering)) return;
    emitElementwise(lowering, output, [a, b], (names) => lowering.onnx.op('Mul', names));
  },
};

/** A product and a sum by channel, as of BatchNormalization, in one pass over planes. */
function emitScaleAndShift({ inputs: { a, b }, outputs: [output] }: KernelCall, lowering: Lowering): boolean {
  const channels = output.shape.at(-1);
  const isPerChannel = ({ shape, dtype }: Value) =>
    dtype === 'float32' && shape.length === 1 && shape[0] === channels;
  const [x, scale] = isPerChannel(a) ? [b, a] : [a, b];
  const added = biasAfter(output, lowering);
  const whole = String(lowering.physical(x)) === String(output.shape) && lowering.inPlanes(x);
  if (added === null || !whole || !isPerChannel(scale) || !isPerChannel(added.bias)) return false;
  const { onnx } = lowering;
  const constant = (value: number) =>
    onnx.constant('float32', [scale.shape[0]], new Float32Array(scale.shape[0]).fill(value));
  const factors = [lowering.full(scale), lowering.full(added.bias), constant(0), constant(1)];
  const names = [lowering.full(x, 'planes'), ...factors];
  lowering.set(added.sum, onnx.op('BatchNormalization', names, { epsilon: { float: 0 } }), {
    layout: 'planes',
  });
  return true;
}

const select: KernelMapping = {
  infer: ({ condition, t, e }) => oneOf(broadcastShape([condition, t, e].map(shapeOf)), t.dtype),
  emit: ({ inputs: { condition, t, e }, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    if (condition.shape.length === 1 && output.shape.length > 1) {
      const rows = lowering.reshaped(condition, [condition.shape[0], ...output.shape.slice(1).fill(1)]);
      lowering.set(output, onnx.op('Where', [rows, lowering.full(t), lowering.full(e)]));
      return;
    }
    emitElementwise(lowering, output, [condition, t, e], (names) => onnx.op('Where', names));
  },
};

/**
 * A slope where `value` is above 0: of five forms the fastest on a processor, four times as fast as a Where. The factor
 * makes at least 1 of every normal float32 above 0, whose least is 1.2e-38; a denormal one may keep a part of its slope.
 */
export function emitSlopeAboveZero(onnx: OnnxGraph, slope: string, value: string): string {
  const isAbove = onnx.op('HardSigmoid', [value], { alpha: { float: 3e38 }, beta: { float: 0 } });
  return onnx.op('Mul', [slope, isAbove]);
}

/** The gradient of relu by its result, which the forward pass has anyway, so that x need not be kept. */
const reluGrad: KernelMapping = {
  infer: ({ dy }) => oneOf(dy.shape, dy.dtype),
  emit: ({ inputs: { dy, x }, outputs: [output] }, lowering) => {
    const relu = lowering.consumersOf(x).find(({ kernel }) => kernel === 'Relu');
    const sign = relu?.outputs[0] ?? x;
    emitElementwise(lowering, output, [dy, sign], ([slope, value]) =>
      emitSlopeAboveZero(lowering.onnx, slope, value),
    );
  },
};

const addN: KernelMapping = {
  infer: (inputs) => oneOf(inputs[0].shape, inputs[0].dtype),
  emit: (call, lowering) => {
    const values = Object.values(call.inputs);
    emitElementwise(lowering, call.outputs[0], values, (names) => lowering.onnx.op('Sum', names));
  },
};

const cast: KernelMapping = {
  infer: ({ x }, { dtype }) => oneOf(x.shape, dtype as ValueType),
  emit: ({ inputs: { x }, outputs: [output] }, lowering) => {
    if (x.dtype === output.dtype) return lowering.share(output, x);
    const to = { float32: 1, int32: 6, bool: 9 }[output.dtype];
    emitElementwise(lowering, output, [x], ([name]) => lowering.onnx.op('Cast', [name], { to }));
  },
};

/** Normalisation by given moments: (x - mean) · scale / √(variance + ε) + offset. */
const batchNorm: KernelMapping = {
  infer: ({ x }) => oneOf(x.shape, x.dtype),
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const { onnx } = lowering;
    const names = ['x', 'mean', 'variance', 'scale', 'offset'].filter((name) => inputs[name]);
    const values = names.map((name) => inputs[name]);
    emitElementwise(lowering, output, values, (given) => {
      const by = Object.fromEntries(names.map((name, i) => [name, given[i]]));
      const epsilon = onnx.scalar(numberOf(attributes, 'varianceEpsilon'));
      const deviation = onnx.op('Sqrt', [onnx.op('Add', [by.variance, epsilon])]);
      const factor = by.scale ? onnx.op('Div', [by.scale, deviation]) : onnx.op('Reciprocal', [deviation]);
      const scaled = onnx.op('Mul', [onnx.op('Sub', [by.x, by.mean]), factor]);
      return by.offset ? onnx.op('Add', [scaled, by.offset]) : scaled;
    });
  },
};

const floorMod: Make = (onnx, [a, b], { outputs: [{ dtype }] }) => {
  if (dtype === 'int32') return onnx.op('Mod', [a, b]);
  const whole = onnx.op('Floor', [onnx.op('Div', [a, b])]);
  return onnx.op('Sub', [a, onnx.op('Mul', [whole, b])]);
};

const floorDiv: Make = (onnx, [a, b], { outputs: [{ dtype }] }) => {
  if (dtype !== 'int32') return onnx.op('Floor', [onnx.op('Div', [a, b])]);
  const asFloat = (name: string) => onnx.op('Cast', [name], { to: 1 });
  return onnx.op('Cast', [onnx.op('Floor', [onnx.op('Div', [asFloat(a), asFloat(b)])])], { to: 6 });
};

export const elementwiseKernels: KernelTable = {
  ...sameNames('Abs', 'Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atanh', 'Ceil', 'Cos', 'Cosh', 'Elu', 'Erf'),
  ...sameNames('Exp', 'Floor', 'Log', 'Neg', 'Reciprocal', 'Relu', 'Round', 'Selu', 'Sigmoid', 'Sign', 'Sin'),
  ...sameNames('Sinh', 'Softplus', 'Sqrt', 'Tan', 'Tanh'),
  LogicalNot: unary(named('Not')),
  IsNan: mapping(['x'], named('IsNaN'), () => 'bool'),
  Square: unary((onnx, [x]) => onnx.op('Mul', [x, x])),
  Rsqrt: unary((onnx, [x]) => onnx.op('Reciprocal', [onnx.op('Sqrt', [x])])),
  Log1p: unary(log1p),
  Expm1: unary(expm1),
  Relu6: unary((onnx, [x]) => onnx.op('Clip', [x, onnx.scalar(0), onnx.scalar(6)])),
  Step: unary((onnx, [x], { attributes, outputs: [{ dtype }] }) => {
    const above = onnx.op('Greater', [x, onnx.scalar(0, dtype)]);
    const alpha = Number(attributes.alpha ?? 0);
    return onnx.op('Where', [above, onnx.scalar(1, dtype), onnx.scalar(alpha, dtype)]);
  }),
  LeakyRelu: unary((onnx, [x], { attributes }) => {
    return whereAbove(onnx, x, x, onnx.op('Mul', [x, onnx.scalar(numberOf(attributes, 'alpha'))]));
  }),
  ClipByValue: unary((onnx, [x], { attributes, outputs: [{ dtype }] }) => {
    const bound = (name: string) => onnx.scalar(numberOf(attributes, name), dtype);
    return onnx.op('Min', [onnx.op('Max', [x, bound('clipValueMin')]), bound('clipValueMax')]);
  }),
  Prelu: mapping(
    ['x', 'alpha'],
    (onnx, [x, alpha]) => whereAbove(onnx, x, x, onnx.op('Mul', [x, alpha])),
    ({ x }) => x.dtype,
  ),
  EluGrad: mapping(
    ['dy', 'y'],
    (onnx, [dy, y]) => whereAbove(onnx, y, dy, onnx.op('Mul', [dy, onnx.op('Add', [y, onnx.scalar(1)])])),
    ({ dy }) => dy.dtype,
  ),
  Add: binary(named('Add')),
  Sub: binary(named('Sub')),
  Multiply: multiply,
  RealDiv: binary(named('Div')),
  FloorDiv: binary(floorDiv),
  Mod: binary(floorMod),
  Maximum: binary(named('Max')),
  Minimum: binary(named('Min')),
  Pow: binary(named('Pow')),
  SquaredDifference: binary((onnx, names) => {
    const difference = onnx.op('Sub', names);
    return onnx.op('Mul', [difference, difference]);
  }),
  Greater: comparison(named('Greater')),
  GreaterEqual: comparison(named('GreaterOrEqual')),
  Less: comparison(named('Less')),
  LessEqual: comparison(named('LessOrEqual')),
  Equal: comparison(named('Equal')),
  NotEqual: comparison((onnx, names) => onnx.op('Not', [onnx.op('Equal', names)])),
  LogicalAnd: comparison(named('And')),
  LogicalOr: comparison(named('Or')),
  Select: select,
  ReluGrad: reluGrad,
  AddN: addN,
  Cast: cast,
  FusedBatchNorm: batchNorm,
};

/** Activations of fused kernels. */
export function emitActivation(
  onnx: OnnxGraph,
  x: string,
  { activation, leakyreluAlpha }: KernelCall['attributes'],
): string {
  const types: Record<string, string> = { relu: 'Relu', elu: 'Elu', sigmoid: 'Sigmoid' };
  if (activation === 'relu6') return onnx.op('Clip', [x, onnx.scalar(0), onnx.scalar(6)]);
  if (activation === 'leakyrelu') {
    return whereAbove(onnx, x, x, onnx.op('Mul', [x, onnx.scalar(Number(leakyreluAlpha))]));
  }
  const type = types[String(activation)];
  return type === undefined ? x : onnx.op(type, [x]);
}

/** Whether `emitActivation` knows what a fused kernel asks for. */
export const isFusedActivation = (activation: unknown): boolean =>
  ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu'].includes(String(activation ?? 'linear'));
