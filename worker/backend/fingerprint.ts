import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import * as tf from '@tensorflow/tfjs';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { emitterVersion } from '../compute/compiled/emitter-version.js';
import { type Provider, runtimePackage } from '../compute/compiled/onnx/runtime-package.js';
import { determinismFlags } from './environment.js';
import type { Tensorflow } from './tensorflow.js';

const require = createRequire(import.meta.url);

/** The version in a package's package.json. */
function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version;
}

/** What every backend's bits depend on, here. */
function ofEveryBackend() {
  return {
    program: 'eager',
    lockstep: versionOf('lockstep'),
    tfjs: tf.version.tfjs,
    node: process.versions.node,
    arch: process.arch,
  } as const;
}

const ofNoNativeCode = { libtensorflow: null, cpuModel: null, device: null, flags: null } as const;

export function cpuFingerprint(): Fingerprint {
  return {
    ...ofEveryBackend(),
    ...ofNoNativeCode,
    backend: 'cpu',
    kernels: `@tensorflow/tfjs-backend-cpu@${tf.version['tfjs-backend-cpu']}`,
    instructionSet: null,
    threads: 1,
  };
}

/** @param threads the threads the module computes with, not those asked for */
export async function wasmFingerprint(threads: number): Promise<Fingerprint> {
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  return {
    ...ofEveryBackend(),
    ...ofNoNativeCode,
    backend: 'wasm',
    kernels: `@tensorflow/tfjs-backend-wasm@${versionOf('@tensorflow/tfjs-backend-wasm')}`,
    instructionSet: simd ? 'simd128' : null,
    threads,
  };
}

/**
 * What a compiled step's bits depend on.
 * @param threads the threads that its sessions compute with
 * @param device the GPU, or null when the processor computes
 */
export function onnxFingerprint(provider: Provider, threads: number, device: string | null): Fingerprint {
  return {
    ...ofEveryBackend(),
    backend: `onnx:${provider}`,
    program: `compiled@${emitterVersion}`,
    kernels: `${runtimePackage.name}@${runtimePackage.version}`,
    libtensorflow: null,
    cpuModel: os.cpus()[0]?.model.trim() || null,
    instructionSet: vectorExtensions(),
    device,
    threads,
    flags: provider === 'cuda' ? flagsSet() : null,
  };
}

export function tensorflowFingerprint(loaded: Tensorflow, threads: number): Fingerprint {
  return {
    ...ofEveryBackend(),
    backend: 'tensorflow',
    kernels: `${loaded.package}@${loaded.version}`,
    libtensorflow: loaded.libtensorflow,
    cpuModel: os.cpus()[0]?.model.trim() || null,
    instructionSet: vectorExtensions(),
    device: loaded.device,
    threads,
    flags: flagsSet(),
  };
}

/** The processor's flags that name vector or matrix instructions; known on Linux alone. */
function vectorExtensions(): string | null {
  if (process.platform !== 'linux') return null;
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  const vector = /^(?:sse4_[12]|avx\w*|fma|f16c|amx_\w+|asimd\w*|sve\w*|bf16|i8mm|sme\d*)$/;
  const found = line.split(/\s+/).filter((flag) => vector.test(flag));
  return found.length === 0 ? null : found.sort().join(' ');
}

function flagsSet(): string | null {
  const set = determinismFlags.filter((name) => process.env[name] !== undefined);
  return set.length === 0 ? null : set.map((name) => `${name}=${process.env[name]}`).join(' ');
}
