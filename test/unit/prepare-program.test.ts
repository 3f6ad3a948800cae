import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { manifestOf } from '../../shared/manifest.js';
import { cpuFingerprint, onnxFingerprint } from '../../worker/backend/fingerprint.js';
import type { SkippedBackend } from '../../worker/backend/select.js';
import type { Trial } from '../../worker/compute/built-program.js';
import { type ProgramPorts, prepareProgram } from '../../worker/compute/prepare-program.js';

const spec = { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 0 };
const wanted = { program: spec, threads: 1, canary: null };
const compiled = onnxFingerprint('cpu', 1, null);

/** Ports of a machine with ONNX Runtime, where the trial of a compiled program ends in `trial`. */
function machine(trial: Trial, skipped: SkippedBackend[] = []) {
  const disposed: string[] = [];
  const ports: ProgramPorts = {
    async loadBackend({ backend, opByOp = false }) {
      const isCompiled = backend !== 'cpu' && !opByOp && skipped.length === 0;
      const fingerprint = isCompiled ? compiled : cpuFingerprint();
      return { name: fingerprint.backend, fingerprint, skipped };
    },
    async createProgram(_spec, _functions, { backend }) {
      const program = {
        setWeights() {},
        train: () => Promise.reject(new RangeError('not asked for')),
        evaluate: () => Promise.reject(new RangeError('not asked for')),
        predict: async () => [],
        dispose: () => void disposed.push(backend),
      };
      const tryOut = async () => trial;
      const manifest = manifestOf(tf.sequential());
      const rows = { inputs: [], outputs: [] };
      return { program, manifest, rows, ...(backend === 'cpu' ? {} : { tryOut }) };
    },
  };
  return { ports, disposed };
}

const refused: Trial = { verdict: 'refused', reason: 'the kernel X has no mapping (layer y)' };
const unknown: Trial = { verdict: 'unknown', reason: 'wrong labels' };

describe('the program of a run', () => {
  it.each(['auto', 'onnx', 'onnx:cpu'] as const)(
    'is the compiled one for %s where it fits',
    async (backend) => {
      const { ports } = machine({ verdict: 'fits' });
      const prepared = await prepareProgram({ ...wanted, backend }, new Map(), ports);
      expect(prepared).toMatchObject({ fingerprint: compiled, fallback: null });
    },
  );

  it.each([
    [refused, 'the kernel X has no mapping (layer y)'],
    [unknown, 'it could not be tried on made-up data: wrong labels'],
  ])('is the eager one for auto where the trial is %o', async (trial, why) => {
    const { ports, disposed } = machine(trial);
    const prepared = await prepareProgram({ ...wanted, backend: 'auto' }, new Map(), ports);
    expect(prepared.fingerprint.backend).toBe('cpu');
    expect(prepared.fallback).toBe(`the model is not compiled but computed op by op on cpu: ${why}`);
    expect(disposed).toEqual(['onnx:cpu']);
  });

  it('is an error where it was asked for by name and refused, and is taken where nothing is known', async () => {
    const { ports, disposed } = machine(refused);
    const asked = { ...wanted, backend: 'onnx' } as const;
    await expect(prepareProgram(asked, new Map(), ports)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: 'the model cannot be compiled: the kernel X has no mapping (layer y)',
    });
    expect(disposed).toEqual(['onnx:cpu']);
    const taken = await prepareProgram(asked, new Map(), machine(unknown).ports);
    expect(taken).toMatchObject({ fingerprint: compiled, fallback: null });
  });

  it('says how to get ONNX Runtime where it is missing', async () => {
    const missing = { backend: 'onnx:cpu', reason: 'it is not installed', hint: 'Run: npm x' } as const;
    const { ports } = machine({ verdict: 'fits' }, [missing]);
    const prepared = await prepareProgram({ ...wanted, backend: 'auto' }, new Map(), ports);
    expect(prepared.fallback).toMatch(/op by op on cpu: it is not installed\. Run: npm x$/);
  });
});
