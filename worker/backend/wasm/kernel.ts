import * as tf from '@tensorflow/tfjs';
import { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { invariant, LockstepError } from '../../../shared/errors.js';

export type TensorInfo = tf.TensorInfo;

/** What a kernel is called with: tensors by name, attributes, and the backend that owns the memory. */
export interface KernelCall<Inputs, Attributes> {
  readonly inputs: Inputs;
  readonly attrs: Attributes;
  readonly backend: BackendWasm;
}

/**
 * A kernel of the wasm backend. `run` owns every tensor it makes except the one it returns: it disposes of the
 * rest with {@link dispose}.
 */
export function wasmKernel<Inputs, Attributes = object>(
  kernelName: string,
  run: (call: KernelCall<Inputs, Attributes>) => TensorInfo,
): tf.KernelConfig {
  return {
    kernelName,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend }) => {
      invariant(backend instanceof BackendWasm, `kernel ${kernelName} runs on the wasm backend only`);
      // The engine types all kernels' inputs and attributes alike; each kernel's own types are those of its op.
      return run({ inputs: inputs as Inputs, attrs: (attrs ?? {}) as Attributes, backend });
    },
  };
}

/** Runs another kernel of the wasm backend, stock or ours. */
export function runKernel(
  kernelName: string,
  backend: BackendWasm,
  inputs: tf.NamedTensorInfoMap,
  attrs: tf.NamedAttrMap = {},
): TensorInfo {
  const kernel = tf.getKernel(kernelName, 'wasm');
  invariant(kernel, `the wasm backend has no kernel ${kernelName}`);
  const result = kernel.kernelFunc({ inputs, backend, attrs });
  invariant(!Array.isArray(result), `kernel ${kernelName} gives one tensor`);
  return result;
}

export function dispose(backend: BackendWasm, ...tensors: readonly TensorInfo[]): void {
  for (const tensor of tensors) backend.disposeData(tensor.dataId);
}

/** A new float32 tensor filled with zeros. */
export function zeros(backend: BackendWasm, shape: number[]): TensorInfo {
  const tensor = backend.makeOutput(shape, 'float32');
  backend.typedArrayFromHeap(tensor).fill(0);
  return tensor;
}

/** A new tensor that shares the data of `tensor` under another shape; each is disposed of on its own. */
export function reshaped(backend: BackendWasm, tensor: TensorInfo, shape: number[]): TensorInfo {
  backend.incRef(tensor.dataId);
  return { dataId: tensor.dataId, shape, dtype: tensor.dtype };
}

/** The float32 elements of a tensor in the wasm heap. Valid until the next allocation, which may move the heap. */
export function floats(backend: BackendWasm, tensor: TensorInfo): Float32Array {
  const values = backend.typedArrayFromHeap(tensor);
  return values instanceof Float32Array ? values : refuse(tensor);
}

/**
 * Byte address of a float32 tensor in the wasm heap.
 * @throws LockstepError MODEL_UNSUPPORTED for another dtype, whose bits would be taken for floats
 */
export function addressOf(backend: BackendWasm, tensor: TensorInfo): number {
  return tensor.dtype === 'float32' ? backend.getMemoryOffset(tensor.dataId) : refuse(tensor);
}

function refuse({ dtype }: TensorInfo): never {
  throw new LockstepError('MODEL_UNSUPPORTED', `the wasm backend computes this on float32, not on ${dtype}`, {
    hint: "Convert the tensor first: tf.cast(x, 'float32').",
  });
}
