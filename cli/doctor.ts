import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { type BackendName, backendNames } from '../shared/backends.js';
import { hasGpu, hasNvidiaGpu } from '../worker/backend/gpu.js';
import { advice, type Machine, type Probe, probeSchema, reportLines } from './doctor-report.js';
import { runProbe } from './probe-process.js';

/** Backends in turn, and most have an answer in a few seconds. */
const probeDeadlineMs = 19_000;

export interface DoctorOptions {
  /** Takes one line for the person who watches, without its line break. */
  readonly write: (line: string) => void;
  /** Compute threads to measure with, as `--threads-per-worker` would set them. */
  readonly threads: number;
}

/**
 * Tries every backend in a process of its own and tells which work here, how fast they are, which one `auto`
 * takes, and what to do for a faster one.
 * @returns the exit code: 0 if at least one backend works, else 1
 */
export async function runDoctor({ write, threads }: DoctorOptions): Promise<0 | 1> {
  const machine = describeMachine();
  const threadsText = threads === 1 ? '1 thread' : `${threads} threads`;
  write(`Node ${process.versions.node} on ${machine.platform}-${machine.arch}, ${threadsText} per worker.`);
  write(
    'matMul: two float32 matrices of 1024 × 1024. CNN step: the gradients of the digits CNN on 32 images (~: 16 times two).',
  );
  write('');
  const probes: { backend: BackendName; probe: Probe }[] = [];
  // One after the other: they would take each other's cores.
  for (const backend of candidatesOf(machine)) probes.push({ backend, probe: await probe(backend, threads) });
  for (const line of reportLines(probes)) write(line);
  for (const line of advice(probes, machine)) write(`- ${line}`);
  return probes.some(({ probe: { works } }) => works) ? 0 : 1;
}

/** A GPU's providers are tried where there are signs of one: no driver is loaded in vain. */
export function candidatesOf({ hasNvidiaGpu: hasNvidia }: Pick<Machine, 'hasNvidiaGpu'>): BackendName[] {
  const absent = new Set([...(hasNvidia ? [] : ['onnx:cuda']), ...(hasGpu() ? [] : ['onnx:webgpu'])]);
  return backendNames.filter((name) => !absent.has(name));
}

function describeMachine(): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    nodeMajor: Number(process.versions.node.split('.')[0]),
    hasNvidiaGpu: hasNvidiaGpu(),
    tfjs: tf.version.tfjs,
  };
}

function probe(backend: BackendName, threads: number): Promise<Probe> {
  const extension = extname(fileURLToPath(import.meta.url));
  const program = fileURLToPath(new URL(`./doctor-probe${extension}`, import.meta.url));
  const args = [backend, String(threads)];
  return runProbe({ program, args, backend, threads, deadlineMs: probeDeadlineMs, schema: probeSchema });
}
