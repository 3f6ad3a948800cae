import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fingerprintHash, fingerprintSchema } from '../../shared/fingerprint.js';
import { backendEnvironment } from '../../worker/backend/environment.js';
import { loadBackend } from '../../worker/backend/select.js';
import { selfTest } from '../../worker/backend/self-test.js';

let folder: string;
let environment: NodeJS.ProcessEnv;
const workingFolder = process.cwd();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-backend-'));
  environment = { ...process.env };
  process.env.LOCKSTEP_TFJS_NODE = folder;
});

afterEach(() => {
  process.env = environment;
  process.chdir(workingFolder);
  rmSync(folder, { recursive: true });
});

/** A package of that name and version in the folder that LOCKSTEP_TFJS_NODE names. */
function install(name: string, version: string, program: string): void {
  const at = join(folder, 'node_modules', name);
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name, version, main: 'index.js' }));
  writeFileSync(join(at, 'index.js'), program);
}

/** As npm lays it out: the package, and a copy of TensorFlow.js that is not ours. */
function installTfjsNode(program: string): void {
  install('@tensorflow/tfjs', tf.version.tfjs, 'module.exports = { copy: true };');
  install('@tensorflow/tfjs-core', tf.version.tfjs, 'module.exports = { copy: true };');
  install('@tensorflow/tfjs-node', tf.version.tfjs, program);
}

describe('loadBackend', () => {
  it('loads the cpu backend by name and makes it current', async () => {
    const loaded = await loadBackend({ backend: 'cpu', threads: 1 });
    expect(loaded).toMatchObject({ name: 'cpu', skipped: [], fingerprint: { backend: 'cpu', threads: 1 } });
    expect(tf.getBackend()).toBe('cpu');
  });

  it('takes ONNX Runtime on the processor first, with wasm for what it is compared with', async () => {
    for (const backend of ['auto', 'onnx', 'onnx:cpu'] as const) {
      const { name, fingerprint } = await loadBackend({ backend, threads: 2 });
      expect([name, fingerprint.backend, fingerprint.threads]).toEqual(['onnx:cpu', 'onnx:cpu', 2]);
      expect(fingerprint.program).toMatch(/^compiled@/);
      expect(tf.getBackend()).toBe('wasm');
    }
  });

  it('refuses a provider that the package lacks, with the command that installs it', async () => {
    await expect(loadBackend({ backend: 'onnx:cuda', threads: 1 })).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/without libonnxruntime_providers_cuda|has no cuda/),
    });
  });

  it('takes wasm to compute op by op when TensorFlow is not there, and says why that was skipped', async () => {
    const loaded = await loadBackend({ backend: 'auto', threads: 1, opByOp: true });
    expect(loaded.name).toBe('wasm');
    expect(tf.getBackend()).toBe('wasm');
    expect(loaded.skipped).toEqual([
      {
        backend: 'tensorflow',
        reason: expect.stringContaining(folder),
        hint: expect.stringContaining('npm'),
      },
    ]);
  });

  it('reports one thread for wasm however many were asked for', async () => {
    const { fingerprint } = await loadBackend({ backend: 'wasm', threads: 4 });
    expect(fingerprint.threads).toBe(1);
  });

  it('fails with the command that installs a backend that is missing', async () => {
    process.env.LOCKSTEP_TFJS_NODE = '';
    process.chdir(folder);
    await expect(loadBackend({ backend: 'tensorflow', threads: 1 })).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      hint: expect.stringContaining(`npm install @tensorflow/tfjs-node@${tf.version.tfjs}`),
    });
  });

  it('refuses a TensorFlow package made for another version of TensorFlow.js', async () => {
    install('@tensorflow/tfjs-node', '3.21.0', '');
    await expect(loadBackend({ backend: 'tensorflow', threads: 1 })).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/3\.21\.0, expected 4/),
    });
  });

  it('names the rebuild when the install script of the package did not run', async () => {
    installTfjsNode(
      "throw new Error('The Node.js native addon module (tfjs_binding.node) can not be found at path: x. \\nPlease run')",
    );
    await expect(loadBackend({ backend: 'tensorflow', threads: 1 })).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: '@tensorflow/tfjs-node is installed without its native part',
      hint: expect.stringContaining('npm rebuild @tensorflow/tfjs-node'),
    });
  });

  it('gives the package our TensorFlow.js, not the copy beside it', async () => {
    installTfjsNode("throw new Error(require('@tensorflow/tfjs').copy ? 'the copy' : 'ours')");
    await expect(loadBackend({ backend: 'tensorflow', threads: 1 })).rejects.toMatchObject({
      message: expect.stringContaining('cannot be loaded: ours'),
    });
  });
});

describe('the self-test', () => {
  it('passes on the cpu backend', async () => {
    await tf.setBackend('cpu');
    expect(await selfTest()).toBeNull();
  });

  it('names the op that computes wrongly, and leaves no tensor behind', async () => {
    await tf.setBackend('cpu');
    const kernel = tf.getKernel('Conv2DBackpropFilter', 'cpu');
    tf.unregisterKernel('Conv2DBackpropFilter', 'cpu');
    tf.registerKernel({
      ...kernel,
      kernelFunc: (call) => {
        const result = kernel.kernelFunc(call) as tf.TensorInfo;
        (tf.backend().readSync(result.dataId) as Float32Array)[3] += 1;
        return result;
      },
    });
    const before = tf.memory().numTensors;
    try {
      expect(await selfTest()).toBe(
        "a convolution's gradient by its filter is [12,16,24,29], expected [12,16,24,28]",
      );
      expect(tf.memory().numTensors).toBe(before);
    } finally {
      tf.unregisterKernel('Conv2DBackpropFilter', 'cpu');
      tf.registerKernel(kernel);
    }
  });
});

describe('the environment of the native library', () => {
  it('fixes the threads whatever the user has set, and keeps the settings that change no bits', () => {
    process.env.TF_NUM_INTRAOP_THREADS = '7';
    process.env.TF_CPP_MIN_LOG_LEVEL = '0';
    expect(backendEnvironment(2)).toMatchObject({
      TF_NUM_INTRAOP_THREADS: '2',
      OMP_NUM_THREADS: '2',
      TF_CPP_MIN_LOG_LEVEL: '0',
    });
  });

  it('is refused in a thread that the main thread did not prepare', () => {
    const program = `
      import { Worker } from 'node:worker_threads';
      const thread = new Worker(\`
        import { register } from 'tsx/esm/api';
        register();
        import(\${JSON.stringify(process.argv[1])}).then(({ setBackendEnvironment }) => setBackendEnvironment(3));
      \`, { eval: true });
      thread.on('error', (error) => console.log(error.message));`;
    const module = new URL('../../worker/backend/environment.ts', import.meta.url).href;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program, module], {
      encoding: 'utf8',
      env: { ...environment, TF_NUM_INTRAOP_THREADS: '1' },
    });
    expect(stdout).toContain('TF_NUM_INTRAOP_THREADS must be 3 before the compute thread starts');
  });
});

describe('a fingerprint', () => {
  const fingerprint = fingerprintSchema.parse({
    backend: 'cpu',
    program: 'eager',
    lockstep: '1.0.0',
    tfjs: '4.22.0',
    kernels: 'k',
    libtensorflow: null,
    node: '20.0.0',
    arch: 'x64',
    cpuModel: null,
    instructionSet: null,
    device: null,
    threads: 1,
    flags: null,
  });

  it('has a hash that does not depend on the order of its keys', () => {
    const reversed = fingerprintSchema.parse(Object.fromEntries(Object.entries(fingerprint).reverse()));
    expect(fingerprintHash(reversed)).toBe(fingerprintHash(fingerprint));
  });

  it('has another hash when any field differs', () => {
    const variants = [{ threads: 2 }, { device: 'A100' }, { node: '22.0.0' }, { libtensorflow: '2.9.1' }];
    const hashes = variants.map((variant) => fingerprintHash({ ...fingerprint, ...variant }));
    expect(new Set([fingerprintHash(fingerprint), ...hashes]).size).toBe(variants.length + 1);
  });

  it('holds what the loaded backend reports', async () => {
    const loaded = await loadBackend({ backend: 'wasm', threads: 1 });
    expect(fingerprintSchema.parse(loaded.fingerprint)).toEqual(loaded.fingerprint);
    expect(loaded.fingerprint).toMatchObject({ node: process.versions.node, tfjs: tf.version.tfjs });
  });
});
