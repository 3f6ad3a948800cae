import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { type BackendName, backendNames } from '../shared/backends.js';
import { backendEnvironment } from '../worker/backend/environment.js';
import { hasGpu, hasNvidiaGpu } from '../worker/backend/gpu.js';
import { advice, type Machine, type Probe, probeSchema, reportLines } from './doctor-report.js';

/** Three backends in turn stay under a minute. */
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
function candidatesOf({ hasNvidiaGpu: hasNvidia }: Machine): BackendName[] {
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
  const child = fork(program, [backend, String(threads)], {
    env: { ...process.env, ...backendEnvironment(threads) },
    execArgv: extension === '.ts' ? ['--import', 'tsx'] : [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return new Promise((resolve) => {
    let lastWords = '';
    let answer: Probe | null = null;
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, probeDeadlineMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      lastWords = (lastWords + text).slice(-4_000);
    });
    child.on('message', (message) => {
      answer = probeSchema.parse(message);
    });
    child.on('error', (error) => {
      lastWords += `\n${error.message}`;
    });
    child.on('close', (code, signal) => {
      clearTimeout(deadline);
      const ending = late
        ? `no result after ${probeDeadlineMs / 1_000} s`
        : `it ended with ${signal ?? code}`;
      resolve(answer ?? { works: false, reason: describeEnd(ending, lastWords), hint: crashHint(backend) });
    });
  });
}

/** How the process ended, with the line of its last words that names the error. */
function describeEnd(ending: string, lastWords: string): string {
  const lines = lastWords.split('\n').map((line) => line.trim());
  const error = lines.find((line) => /^(?:\w*Error\b|.*\bfatal\b|.*: F )/i.test(line));
  return error === undefined ? ending : `${ending}: ${error.slice(0, 300)}`;
}

function crashHint(backend: BackendName): string {
  return `Choose another with --backend, or reinstall what brings it: npm ci (${backend} crashed or hung).`;
}
