import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { setBackendEnvironment } from './environment.js';
import { describeNvidiaGpu } from './gpu.js';
import { registerReluGradient } from './tensorflow-relu-gradient.js';

/** The packages that run TensorFlow's own kernels, the preferred one first. */
const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
type TensorflowPackage = (typeof packages)[number];

/** What has been loaded: what the fingerprint needs to know of it. */
export interface Tensorflow {
  readonly package: TensorflowPackage;
  readonly version: string;
  readonly libtensorflow: string;
  /** Model and driver of the GPU, or null when the processor computes. */
  readonly device: string | null;
}

/** The native binding behind the backend, as far as it is read here. */
interface NativeBackend extends tf.KernelBackend {
  readonly binding: { readonly TF_Version: string };
  readonly isUsingGpuDevice: boolean;
}

const ownRequire = createRequire(import.meta.url);

/** The threads that TensorFlow was loaded with in this process. */
let loadedThreads: number | null = null;

/**
 * Loads tfjs-node-gpu or tfjs-node and makes `tensorflow` the current backend. They are looked for in the
 * folder that LOCKSTEP_TFJS_NODE names, or without it where Lockstep is installed and in the working folder.
 * @param threads compute threads; fixed for the life of the process by the first call
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export async function loadTensorflow(threads: number): Promise<Tensorflow> {
  if (loadedThreads !== null && loadedThreads !== threads) {
    throw new LockstepError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow has ${loadedThreads} compute thread(s) in this process, not ${threads}`,
      { hint: 'It reads the number once, when it is loaded: start another process.' },
    );
  }
  setBackendEnvironment(threads);
  restoreRemovedFunctions();
  const failures: LockstepError[] = [];
  for (const name of packages) {
    const installed = find(name);
    if (installed === null) continue;
    try {
      return await load(name, installed);
    } catch (error) {
      failures.push(error instanceof LockstepError ? error : unavailable(name, messageOf(error), error));
    }
  }
  throw failures[0] ?? notInstalled();
}

interface Installed {
  readonly version: string;
  readonly require: NodeJS.Require;
}

/** Whether the package that computes on an NVIDIA GPU can be found. */
export function hasGpuPackage(): boolean {
  return find('@tensorflow/tfjs-node-gpu') !== null;
}

function find(name: TensorflowPackage): Installed | null {
  const folder = process.env.LOCKSTEP_TFJS_NODE;
  const bases = folder
    ? [createRequire(join(folder, 'package.json'))]
    : [ownRequire, requireFromWorkingFolder()];
  for (const base of bases) {
    try {
      const manifest = base.resolve(`${name}/package.json`);
      const { version } = base(manifest) as { version: string };
      return { version, require: createRequire(manifest) };
    } catch {
      // Not here: the next place may have it.
    }
  }
  return null;
}

function requireFromWorkingFolder(): NodeJS.Require {
  return createRequire(join(process.cwd(), 'package.json'));
}

async function load(name: TensorflowPackage, { version, require }: Installed): Promise<Tensorflow> {
  if (version !== tf.version.tfjs) {
    throw new LockstepError('BACKEND_UNAVAILABLE', `${name} is ${version}, expected ${tf.version.tfjs}`, {
      hint: `Run: npm install ${name}@${tf.version.tfjs}`,
    });
  }
  shareTfjs(require);
  tf.enableProdMode();
  require(name);
  const backend = tf.findBackend('tensorflow') as NativeBackend | null;
  if (backend === null || !tf.setBackend('tensorflow')) {
    throw unavailable(name, 'it did not register its backend');
  }
  loadedThreads = Number(process.env.TF_NUM_INTRAOP_THREADS);
  registerReluGradient();
  return {
    package: name,
    version,
    libtensorflow: backend.binding.TF_Version,
    device: backend.isUsingGpuDevice ? await describeNvidiaGpu() : null,
  };
}

/**
 * Makes the package use our instance of TensorFlow.js: a package elsewhere on the disk would bring a second
 * one, and register its backend there, where nothing of ours computes. npm installs a single instance for
 * packages side by side, and then nothing needs to be done.
 */
function shareTfjs(require: NodeJS.Require): void {
  for (const name of ['@tensorflow/tfjs', '@tensorflow/tfjs-core']) {
    const ours = ownRequire.resolve(name);
    const theirs = require.resolve(name);
    if (ours === theirs) continue;
    ownRequire(ours);
    require.cache[theirs] = ownRequire.cache[ours];
  }
}

/** tfjs-node 4.22 calls functions that Node 23 removed. */
function restoreRemovedFunctions(): void {
  const removed = {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  };
  for (const [name, restored] of Object.entries(removed)) {
    if (!(name in util)) Object.assign(util, { [name]: restored });
  }
}

function unavailable(name: TensorflowPackage, reason: string, cause?: unknown): LockstepError {
  if (reason.includes('native addon module')) {
    return new LockstepError('BACKEND_UNAVAILABLE', `${name} is installed without its native part`, {
      hint: `Its install script did not run or could not download libtensorflow. Run: npm rebuild ${name}`,
      cause,
    });
  }
  const [firstLine] = reason.split('\n');
  return new LockstepError('BACKEND_UNAVAILABLE', `${name} cannot be loaded: ${firstLine.trim()}`, {
    hint: `Run: npm rebuild ${name} (docs/backends.md lists what it needs), or use --backend wasm.`,
    cause,
  });
}

function notInstalled(): LockstepError {
  const folder = process.env.LOCKSTEP_TFJS_NODE;
  if (folder) {
    const found = existsSync(folder) ? 'holds no node_modules/@tensorflow/tfjs-node' : 'does not exist';
    return new LockstepError('BACKEND_UNAVAILABLE', `LOCKSTEP_TFJS_NODE names ${folder}, which ${found}`, {
      hint: 'Name a folder in which npm installed @tensorflow/tfjs-node, or unset LOCKSTEP_TFJS_NODE.',
    });
  }
  return new LockstepError('BACKEND_UNAVAILABLE', '@tensorflow/tfjs-node is not installed', {
    hint: `Run: npm install @tensorflow/tfjs-node@${tf.version.tfjs} (with an NVIDIA GPU: @tensorflow/tfjs-node-gpu@${tf.version.tfjs}).`,
  });
}
