import type { BackendName } from '../../../../shared/backends.js';

/** The optional dependency that runs compiled steps. */
export const runtimePackage = { name: 'onnxruntime-node', version: '1.30.0' } as const;

/** What of ONNX Runtime computes: its execution providers, as far as they are used here. */
export type Provider = 'cpu' | 'cuda' | 'webgpu';

/** Which provider of ONNX Runtime a backend is; null if it computes op by op. */
export function providerOf(backend: BackendName): Provider | null {
  switch (backend) {
    case 'onnx:cpu':
      return 'cpu';
    case 'onnx:cuda':
      return 'cuda';
    case 'onnx:webgpu':
      return 'webgpu';
    default:
      return null;
  }
}

/** Whether the package holds a library for this platform: what `bin/` of version 1.30.0 lists. */
export function runtimeExistsHere(): boolean {
  const platforms = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];
  return platforms.includes(`${process.platform}-${process.arch}`);
}
