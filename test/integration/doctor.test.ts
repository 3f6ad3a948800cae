import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTensorflow, tensorflowSupported } from '../fixtures/tensorflow.mjs';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs the built `lockstep doctor`. */
function doctor(environment: NodeJS.ProcessEnv): Promise<{ code: number | null; lines: string[] }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'doctor'], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.on('close', (code) => resolve({ code, lines: output.split('\n') }));
  });
}

function rowOf(backend: string, lines: readonly string[]): string {
  return lines.find((line) => line.startsWith(`${backend} `)) ?? '';
}

/** The number before a unit in a row of the table. */
function numberBefore(unit: string, row: string): number {
  return Number(new RegExp(`([\\d.]+) ${unit}`).exec(row)?.[1]);
}

describe('lockstep doctor', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-doctor-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('survives a backend that brings its process down, and measures the others', async () => {
    for (const [name, body] of [
      ['tfjs', ''],
      ['tfjs-core', ''],
      ['tfjs-node', 'process.abort();'],
    ]) {
      const at = join(folder, 'node_modules/@tensorflow', name);
      mkdirSync(at, { recursive: true });
      const manifest = { name: `@tensorflow/${name}`, version: tf.version.tfjs, main: 'index.js' };
      writeFileSync(join(at, 'package.json'), JSON.stringify(manifest));
      writeFileSync(join(at, 'index.js'), body);
    }
    const { code, lines } = await doctor({ LOCKSTEP_TFJS_NODE: folder });
    expect(code).toBe(0);
    expect(rowOf('tensorflow', lines)).toMatch(/^tensorflow +no .*SIGABRT/);
    expect(rowOf('wasm', lines)).toMatch(/^wasm +yes/);
    expect(rowOf('cpu', lines)).toMatch(/^cpu +yes/);
    expect(rowOf('onnx:cpu', lines)).toMatch(/^onnx:cpu +yes/);
    expect(lines).toContain('--backend auto takes onnx:cpu.');
    // XNNPACK against loops of JavaScript: the order must come out right even on a busy machine.
    expect(numberBefore('GFLOP/s', rowOf('wasm', lines))).toBeGreaterThan(
      numberBefore('GFLOP/s', rowOf('cpu', lines)),
    );
  });

  it.runIf(tensorflowSupported)('finds real TensorFlow faster than wasm', async () => {
    const { code, lines } = await doctor({ LOCKSTEP_TFJS_NODE: await prepareTensorflow() });
    expect(code).toBe(0);
    const row = rowOf('tensorflow', lines);
    expect(row).toMatch(/yes .*@tensorflow\/tfjs-node@4\.22\.0, libtensorflow 1\.15\.0$/);
    expect(numberBefore('GFLOP/s', row)).toBeGreaterThan(numberBefore('GFLOP/s', rowOf('wasm', lines)));
    expect(lines).toContain('--backend auto takes onnx:cpu.');
  });
});
