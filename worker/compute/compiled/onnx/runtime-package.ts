/** The optional dependency that runs compiled steps. */
export const runtimePackage = { name: 'onnxruntime-node', version: '1.30.0' } as const;
