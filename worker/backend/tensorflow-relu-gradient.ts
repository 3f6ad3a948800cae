import * as tf from '@tensorflow/tfjs';

/** The part of tfjs-node's backend that runs an operation of TensorFlow's. */
interface NativeBackend extends tf.KernelBackend {
  readonly binding: { readonly TF_ATTR_TYPE: number; readonly TF_FLOAT: number };
  executeSingleOutput(
    operation: string,
    attributes: readonly { name: string; type: number; value: number }[],
    inputs: readonly tf.TensorInfo[],
  ): tf.Tensor;
}

/** Registers TensorFlow's own ReluGrad, which TensorFlow.js does not use: one pass over memory instead of seven. */
export function registerReluGradient(): void {
  if (tf.getKernel('ReluGrad', 'tensorflow')) return;
  tf.registerKernel({
    kernelName: 'ReluGrad',
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, backend }) => {
      const { dy, x } = inputs as { dy: tf.TensorInfo; x: tf.TensorInfo };
      const native = backend as NativeBackend;
      const { TF_ATTR_TYPE, TF_FLOAT } = native.binding;
      const attributes = [{ name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT }];
      return native.executeSingleOutput('ReluGrad', attributes, [dy, x]);
    },
  });
}
