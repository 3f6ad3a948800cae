import * as tf from '@tensorflow/tfjs';
import type { KernelMapping } from './kernels/kernel.js';
import { kernelTable } from './kernels/table.js';
import { TraceBackend, traceBackendName } from './trace-backend.js';

/** The kernels of a trace. Those that TensorFlow.js knows and the table does not are registered too, to be refused. */
function registerKernels(): void {
  const register = (kernelName: string, kernelFunc: tf.KernelFunc) =>
    tf.registerKernel({ kernelName, backendName: traceBackendName, kernelFunc });
  for (const [kernel, mapping] of Object.entries(kernelTable)) register(kernel, recorded(kernel, mapping));
  register(tf.Identity, ({ inputs, backend }) => {
    const trace = backend as TraceBackend;
    return trace.infoOf(trace.symbolised(inputs.x as tf.TensorInfo));
  });
  for (const { kernelName } of tf.getKernelsForBackend('cpu')) {
    if (tf.getKernel(kernelName, traceBackendName)) continue;
    register(kernelName, ({ inputs, backend }) => (backend as TraceBackend).refuse(kernelName, inputs));
  }
}

const recorded =
  (kernel: string, { infer, givesList = false }: KernelMapping): tf.KernelFunc =>
  ({ inputs, attrs, backend }) => {
    const outputs = (backend as TraceBackend).run(kernel, infer, inputs, { ...attrs });
    return givesList ? outputs : outputs[0];
  };

let registered: TraceBackend | null = null;

/** The backend that traces, registered with TensorFlow.js at the first call; it never becomes current by itself. */
export function traceBackend(): TraceBackend {
  if (registered !== null) return registered;
  const backend = new TraceBackend();
  tf.registerBackend(traceBackendName, () => backend, 0);
  registerKernels();
  registered = backend;
  return backend;
}
