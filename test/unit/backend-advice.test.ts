import { describe, expect, it } from 'vitest';
import { advice, type Machine, type Probe, type Probes, reportLines } from '../../cli/doctor-report.js';
import type { Fingerprint } from '../../shared/fingerprint.js';

const fingerprint: Fingerprint = {
  backend: 'wasm',
  program: 'eager',
  lockstep: '1.0.0',
  tfjs: '4.22.0',
  kernels: '@tensorflow/tfjs-backend-wasm@4.22.0',
  libtensorflow: null,
  node: '20.0.0',
  arch: 'x64',
  cpuModel: null,
  instructionSet: null,
  device: null,
  threads: 1,
  flags: null,
};
const working = (change: Partial<Fingerprint> = {}): Probe => ({
  works: true,
  fingerprint: { ...fingerprint, ...change },
  gigaflopsPerSecond: 12.345,
  stepMs: 80,
  stepIsEstimate: false,
});
const failing: Probe = { works: false, reason: 'it is not installed', hint: 'Run: npm install x' };
const native: Partial<Fingerprint> = {
  backend: 'tensorflow',
  kernels: '@tensorflow/tfjs-node@4.22.0',
  libtensorflow: '2.9.1',
};

function probesWith(tensorflow: Probe, wasm = working()): Probes {
  return [
    { backend: 'tensorflow', probe: tensorflow },
    { backend: 'wasm', probe: wasm },
  ];
}

const linux: Machine = {
  platform: 'linux',
  arch: 'x64',
  nodeMajor: 20,
  hasNvidiaGpu: false,
  tfjs: '4.22.0',
};

describe("doctor's table", () => {
  it('names the first working backend as the one that auto takes', () => {
    expect(reportLines(probesWith(failing))).toContain('--backend auto takes wasm.');
    expect(reportLines(probesWith(working(native)))).toContain('--backend auto takes tensorflow.');
    expect(reportLines(probesWith(failing, failing))).toContain('No backend works here.');
  });

  it('shows speed, step and library of a backend that works, and the reason of one that does not', () => {
    const [, tensorflow, wasm] = reportLines(probesWith(failing));
    expect(tensorflow).toMatch(/^tensorflow +no +- +- +it is not installed$/);
    expect(wasm).toMatch(/^wasm +yes +12\.3 GFLOP\/s +80 ms +@tensorflow\/tfjs-backend-wasm@4\.22\.0$/);
  });
});

describe("doctor's advice", () => {
  it('is silent where nothing can be gained', () => {
    expect(advice(probesWith(working(native)), linux)).toEqual([]);
  });

  it('repeats how to get TensorFlow where it is missing', () => {
    expect(advice(probesWith(failing), linux)[0]).toContain('Run: npm install x');
  });

  it('does not send people after a TensorFlow that was never built for their machine', () => {
    const lines = advice(probesWith(failing), { ...linux, platform: 'win32', arch: 'arm64' });
    expect(lines).toEqual(['There is no prebuilt TensorFlow for win32-arm64.']);
  });

  it('asks for the GPU package where an NVIDIA GPU is idle, and for CUDA where only that is missing', () => {
    const machine = { ...linux, hasNvidiaGpu: true };
    const [idle] = advice(probesWith(working(native)), machine);
    expect(idle).toContain('npm install @tensorflow/tfjs-node-gpu@4.22.0');
    const onProcessor = working({ ...native, kernels: '@tensorflow/tfjs-node-gpu@4.22.0' });
    expect(advice(probesWith(onProcessor), machine)[0]).toMatch(/^The GPU package runs on the processor/);
    const onDevice = working({ ...native, device: 'A100, driver 550' });
    expect(advice(probesWith(onDevice), machine)).toEqual([]);
  });

  it('tells what Node 23 changes only to those who have TensorFlow', () => {
    const machine = { ...linux, nodeMajor: 23 };
    expect(advice(probesWith(working(native)), machine).join()).toContain('Node 23');
    expect(advice(probesWith(failing), machine).join()).not.toContain('Node 23');
  });
});
