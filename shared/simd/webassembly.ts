declare global {
  // Part of every host we run on, but typed only by TypeScript's DOM library.
  const WebAssembly: {
    validate: (bytes: Uint8Array) => boolean;
    Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
    Module: new (bytes: Uint8Array) => object;
    Instance: new (module: object, imports: object) => { exports: object };
  };
}

export {};
