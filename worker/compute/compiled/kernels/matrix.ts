import * as tf from '@tensorflow/tfjs';
import { sizeOf } from '../../../../shared/tensors.js';
import type { KernelCall, Value } from '../graph.js';
import type { Lowering } from '../lowering.js';
import { CompileRefusal } from '../refusal.js';
import { emitActivation, isFusedActivation } from './elementwise.js';
import { broadcastShape, type KernelMapping, type KernelTable, oneOf } from './kernel.js';

/* Matrix products: Gemm for single ones, FusedMatMul (ONNX Runtime's, version 1) for batches that are transposed. */

function productShape(
  { a, b }: Readonly<Record<string, Value>>,
  attributes: KernelCall['attributes'],
): number[] {
  const rows = a.shape.at(attributes.transposeA === true ? -1 : -2) ?? 1;
  const columns = b.shape.at(attributes.transposeB === true ? -2 : -1) ?? 1;
  return [...broadcastShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]), rows, columns];
}

/** @param bias float32[columns] or null */
function emitProduct(call: KernelCall, lowering: Lowering, bias: Value | null): string {
  const { a, b } = call.inputs;
  const { onnx } = lowering;
  const transA = Number(call.attributes.transposeA === true);
  const transB = Number(call.attributes.transposeB === true);
  const { shape } = call.outputs[0];
  const single = sizeOf(a.shape.slice(0, -2)) === 1 && sizeOf(b.shape.slice(0, -2)) === 1;
  if (single && sizeOf(shape) > 0) {
    const matrices = [a, b].map((value) => lowering.reshaped(value, value.shape.slice(-2)));
    if (bias !== null) matrices.push(lowering.full(bias));
    const product = onnx.op('Gemm', matrices, { transA, transB });
    return shape.length === 2 ? product : lowering.reshape(product, shape);
  }
  const names = [lowering.full(a), lowering.full(b)];
  const plain = transA + transB === 0;
  const product = plain ? onnx.op('MatMul', names) : onnx.runtimeOp('FusedMatMul', names, { transA, transB });
  return bias === null ? product : onnx.op('Add', [product, lowering.full(bias)]);
}

const batchMatMul: KernelMapping = {
  infer: (inputs, attributes) => oneOf(productShape(inputs, attributes), inputs.a.dtype),
  emit: (call, lowering) => {
    const [output] = call.outputs;
    lowering.set(output, emitProduct(call, lowering, null));
  },
};

const fusedMatMul: KernelMapping = {
  infer: (inputs, attributes) => {
    if (!isFusedActivation(attributes.activation)) {
      throw new CompileRefusal(`the activation ${attributes.activation}`, {});
    }
    return oneOf(productShape(inputs, attributes), inputs.a.dtype);
  },
  emit: (call, lowering) => {
    const [output] = call.outputs;
    const product = emitProduct(call, lowering, call.inputs.bias ?? null);
    lowering.set(output, emitActivation(lowering.onnx, product, call.attributes));
  },
};

/** TensorFlow.js's equations are ONNX's, without the ellipsis. */
const einsum: KernelMapping = {
  infer: (inputs, attributes) => {
    const values = Object.values(inputs);
    const { allDims, summedDims, idDims } = tf.backend_util.decodeEinsumEquation(
      String(attributes.equation),
      values.length,
    );
    const sizes = new Map<number, number>();
    values.forEach(({ shape }, i) => {
      idDims[i].forEach((dim, axis) => {
        sizes.set(dim, shape[axis]);
      });
    });
    // The dimensions that are left come first.
    const kept = allDims.length - summedDims.length;
    return oneOf(
      Array.from({ length: kept }, (_, dim) => sizes.get(dim) ?? 1),
      values[0].dtype,
    );
  },
  emit: ({ inputs, attributes, outputs: [output] }, lowering) => {
    const names = Object.values(inputs).map((value) => lowering.full(value));
    const equation = String(attributes.equation);
    lowering.set(output, lowering.onnx.op('Einsum', names, { equation }));
  },
};

export const matrixKernels: KernelTable = {
  BatchMatMul: batchMatMul,
  Einsum: einsum,
  _FusedMatMul: fusedMatMul,
};
