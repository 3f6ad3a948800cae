/** What a worker can compute on; a fingerprint names one of them. */
export const backendNames = ['tensorflow', 'onnx:cuda', 'onnx:webgpu', 'onnx:cpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof backendNames)[number];

/** What can be asked for: `auto` is the fastest that works, `onnx` the fastest of ONNX Runtime's providers. */
export const backendChoices = [
  'auto',
  'tensorflow',
  'onnx',
  'onnx:cpu',
  'onnx:cuda',
  'onnx:webgpu',
  'wasm',
  'cpu',
] as const;
export type BackendChoice = (typeof backendChoices)[number];

/** Whether it runs a step compiled, as a whole, rather than op by op. */
export function compiles(backend: BackendName): boolean {
  return backend.startsWith('onnx:');
}

/** Whether a backend is what was asked for. */
export function satisfies(choice: BackendChoice, backend: string): boolean {
  return choice === 'auto' || choice === backend || (choice === 'onnx' && backend.startsWith('onnx:'));
}

/** Whether the choice leaves something to whoever makes it. */
export function isOpen(choice: BackendChoice): boolean {
  return choice === 'auto' || choice === 'onnx';
}
