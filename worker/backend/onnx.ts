import * as tf from '@tensorflow/tfjs';
import { OnnxGraph } from '../compute/compiled/onnx/onnx-graph.js';
import { loadRuntime, OnnxSession } from '../compute/compiled/onnx/runtime.js';

/**
 * Loads ONNX Runtime and has it compute a product whose result is known. TensorFlow.js's `cpu` backend becomes the
 * current one: it holds models while their steps are traced, and computes what the first compiled results are
 * compared with.
 * @param threads compute threads of the sessions
 * @returns what is wrong, in one line, or null if all is well
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export async function loadOnnx(threads: number): Promise<string | null> {
  loadRuntime();
  await tf.setBackend('cpu');
  const graph = new OnnxGraph();
  const a = graph.input('float32', [2, 3]);
  const b = graph.constant('float32', [3, 2], [7, 8, 9, 10, 11, 12]);
  const product = graph.output(graph.op('Gemm', [a, b]), 'float32', [2, 2]);
  const session = await OnnxSession.create(graph.encode('self-test'), threads);
  const given = session.tensor({ dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
  const [values] = await session.run({ [a]: given }, {}, [product]);
  await session.dispose();
  const expected = [58, 64, 139, 154];
  const right = values.length === expected.length && expected.every((value, i) => value === values[i]);
  return right ? null : `a matrix product is [${Array.from(values)}], expected [${expected}]`;
}
