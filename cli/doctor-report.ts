import { z } from 'zod';
import type { BackendName } from '../shared/backends.js';
import { type Fingerprint, fingerprintSchema } from '../shared/fingerprint.js';
import { providerOf } from '../worker/compute/compiled/onnx/runtime-package.js';
import { milliseconds, table } from './format.js';

/** What the process that tries a backend says of it. */
export const probeSchema = z.discriminatedUnion('works', [
  z.strictObject({
    works: z.literal(true),
    fingerprint: fingerprintSchema,
    /** Of a float32 matrix product. */
    gigaflopsPerSecond: z.number().positive(),
    /** The gradients of the digits CNN on 32 images. */
    stepMs: z.number().positive(),
    /** Whether `stepMs` is 16 times that of two images, on a backend where 32 take too long. */
    stepIsEstimate: z.boolean(),
  }),
  z.strictObject({ works: z.literal(false), reason: z.string(), hint: z.string() }),
]);

export type Probe = z.infer<typeof probeSchema>;

/** Those that were tried, the fastest kinds first. */
export type Probes = readonly { readonly backend: BackendName; readonly probe: Probe }[];

/** The machine, as far as it decides which backends it can have. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly nodeMajor: number;
  readonly hasNvidiaGpu: boolean;
  /** The version of TensorFlow.js that TensorFlow's packages must match. */
  readonly tfjs: string;
}

/** One row per backend, and which of them `auto` takes. */
export function reportLines(probes: Probes): string[] {
  const header = ['backend', 'works', 'matMul', 'CNN step', 'kernels'];
  const rows = probes.map(({ backend, probe }) => {
    if (!probe.works) return [backend, 'no', '-', '-', probe.reason];
    const { fingerprint, gigaflopsPerSecond, stepMs, stepIsEstimate } = probe;
    const library = fingerprint.libtensorflow === null ? '' : `, libtensorflow ${fingerprint.libtensorflow}`;
    const device = fingerprint.device === null ? '' : `, ${fingerprint.device}`;
    return [
      backend,
      'yes',
      `${gigaflopsPerSecond.toPrecision(3)} GFLOP/s`,
      `${stepIsEstimate ? '~ ' : ''}${milliseconds(stepMs)}`,
      `${fingerprint.kernels}${library}${device}`,
    ];
  });
  const taken = autoTakes(probes);
  return [
    ...table([header, ...rows]),
    '',
    taken === undefined ? 'No backend works here.' : `--backend auto takes ${taken.backend}.`,
  ];
}

/** What `auto` takes of the backends that work; TensorFlow comes first only where it found a GPU. */
export function autoTakes<T extends Pick<Probes[number], 'backend'> & { readonly probe: Tried }>(
  probes: readonly T[],
): T | undefined {
  const working = probes.filter(({ probe }) => probe.works);
  const onGpu = working.find(({ probe }) => probe.works && probe.fingerprint.device !== null);
  const compiled = working.find(({ backend }) => providerOf(backend) !== null);
  return onGpu ?? compiled ?? working[0];
}

type Tried = { readonly works: true; readonly fingerprint: Fingerprint } | { readonly works: false };

/** What to do for a faster backend, one action per line; empty if there is nothing to gain. */
export function advice(probes: Probes, machine: Machine): string[] {
  const lines: string[] = [];
  const tensorflow = probes.find(({ backend }) => backend === 'tensorflow')?.probe;
  const gpuPossible = machine.arch === 'x64' && ['linux', 'win32'].includes(machine.platform);
  const gpuPackage = `npm install @tensorflow/tfjs-node-gpu@${machine.tfjs}`;
  const compiled = probes.find(({ backend }) => backend === 'onnx:cpu')?.probe;
  if (compiled?.works === false) {
    lines.push(
      `onnx:cpu, the fastest backend of a processor, is not usable: ${compiled.reason}. ${compiled.hint}`,
    );
  }
  if (tensorflow?.works === false) {
    // Compiled steps are faster than TensorFlow's.
    if (compiled?.works !== true) lines.push(...withoutTensorflow(tensorflow, machine));
    if (machine.hasNvidiaGpu && gpuPossible) {
      lines.push(`For the NVIDIA GPU in this machine: ${gpuPackage}, with CUDA 11.2 and cuDNN 8.1.`);
    }
  }
  if (
    tensorflow?.works === true &&
    tensorflow.fingerprint.device === null &&
    machine.hasNvidiaGpu &&
    gpuPossible
  ) {
    lines.push(
      tensorflow.fingerprint.kernels.startsWith('@tensorflow/tfjs-node-gpu')
        ? 'The GPU package runs on the processor: it found no CUDA 11.2 with cuDNN 8.1. Install both and check LD_LIBRARY_PATH.'
        : `The NVIDIA GPU in this machine is idle: ${gpuPackage}, with CUDA 11.2 and cuDNN 8.1.`,
    );
  }
  if (tensorflow?.works === true && machine.nodeMajor >= 23) {
    lines.push(
      `Node ${machine.nodeMajor} lacks two functions that tfjs-node calls. Lockstep restores them; a program that imports tfjs-node itself needs Node 22.`,
    );
  }
  return lines;
}

function withoutTensorflow({ reason, hint }: Probe & { works: false }, machine: Machine): string[] {
  if (!hasPrebuiltTensorflow(machine)) {
    return [`There is no prebuilt TensorFlow for ${machine.platform}-${machine.arch}.`];
  }
  return [
    `tensorflow, faster than wasm, is not usable: ${reason}. ${hint}`,
    'Behind a proxy or mirror, set TFJS_NODE_CDN_STORAGE before the install (docs/backends.md).',
  ];
}

/** Whether tfjs-node's install script can download libtensorflow: what its deps-constants.js and install.js list. */
function hasPrebuiltTensorflow({ platform, arch }: Machine): boolean {
  const combinations = ['linux-x64', 'linux-arm64', 'linux-arm', 'darwin-x64', 'darwin-arm64', 'win32-x64'];
  return combinations.includes(`${platform}-${arch}`);
}
