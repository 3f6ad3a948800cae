import { describe, expect, it } from 'vitest';
import type { ProgramSetup } from '../../coordinator/round.js';
import { Admission } from '../../coordinator/server/admission.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import { cpuFingerprint } from '../../worker/backend/fingerprint.js';

const manifest = 'a'.repeat(64);
const fingerprint = { ...cpuFingerprint(), node: '20.15.0' };
const ready = (changes: Partial<ToCoordinatorOf<'ready'>> = {}): ToCoordinatorOf<'ready'> => ({
  ...{ type: 'ready', manifestHash: manifest, fingerprint, threads: 1, pid: 1, host: 'h' },
  canary: { sha256: 'c'.repeat(64), ms: 3 },
  fallback: null,
  ...changes,
});
const otherNode = ready({ fingerprint: { ...fingerprint, node: '22.0.0' } });
const otherCanary = ready({ canary: { sha256: 'd'.repeat(64), ms: 3 } });

const message: ProgramSetup['message'] = {
  program: { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 0 },
  ...{ manifestHash: manifest, backend: 'cpu', threads: 1, jobSha256: null, heartbeatMs: 1_000 },
  canary: { rows: 8 },
};

function admission({ allowMixed = false } = {}): Admission {
  const made = new Admission({ allowMixed });
  made.begin({ message, reference: null });
  return made;
}

const shardCanary = ({ reference }: Admission) => ({
  program: reference.canary?.program,
  sha256: 'c'.repeat(64),
});

describe('admission to a run', () => {
  it('takes the first worker as the reference, and those that are like it', () => {
    const own = admission();
    expect(own.judge(ready(), manifest)).toEqual({ status: 'admitted' });
    // The time that the canary took is its own.
    expect(own.judge(ready({ canary: { sha256: 'c'.repeat(64), ms: 99 } }), manifest)).toEqual({
      status: 'admitted',
    });
    expect(own.reference).toEqual({ fingerprint, canary: shardCanary(own), mixed: [] });
  });

  it('refuses another model, another fingerprint and another canary, saying what differs', () => {
    const own = admission();
    own.judge(ready(), manifest);
    expect(own.judge(ready(), 'b'.repeat(64))).toMatchObject({ code: 'manifest_mismatch' });
    expect(own.judge(otherNode, manifest)).toEqual({
      status: 'refused',
      code: 'fingerprint_mismatch',
      why: 'its results could differ in their bits: node is 22.0.0, not 20.15.0',
    });
    for (const other of [otherCanary, ready({ canary: null })]) {
      expect(own.judge(other, manifest)).toMatchObject({
        code: 'fingerprint_mismatch',
        why: expect.stringContaining('its canary shard has other bits'),
      });
    }
    expect(own.reference.mixed).toEqual([]);
  });

  it('admits what differs where that is allowed, and labels the run once for each difference', () => {
    const own = admission({ allowMixed: true });
    own.judge(ready(), manifest);
    for (let i = 0; i < 3; i++) {
      expect(own.judge(otherNode, manifest)).toMatchObject({ status: 'mixed' });
      expect(own.judge(otherCanary, manifest)).toMatchObject({ status: 'mixed' });
    }
    expect(own.reference).toMatchObject({ fingerprint, canary: shardCanary(own) });
    expect(own.reference.mixed).toEqual([
      expect.stringContaining('node is 22.0.0'),
      expect.stringContaining('canary'),
    ]);
    expect(own.judge(ready(), 'b'.repeat(64))).toMatchObject({ status: 'refused' });
  });

  it('compares no canary where the model has none', () => {
    const own = admission();
    own.judge(ready({ canary: null }), manifest);
    expect(own.judge(ready(), manifest)).toEqual({ status: 'admitted' });
    expect(own.judge(otherCanary, manifest)).toEqual({ status: 'admitted' });
  });

  it('compares with the run that goes on, and keeps its label', () => {
    const before = admission();
    before.judge(ready(), manifest);
    const own = admission({ allowMixed: true });
    own.begin({ message, reference: { ...before.reference, mixed: ['node was older'] } });
    expect(own.judge(otherNode, manifest)).toMatchObject({ status: 'mixed' });
    expect(own.judge(otherCanary, manifest)).toMatchObject({ status: 'mixed' });
    expect(own.reference.mixed.slice(0, 2)).toEqual([
      'node was older',
      expect.stringContaining('node is 22'),
    ]);
    expect(own.reference).toMatchObject({ fingerprint, canary: shardCanary(before) });
  });

  it('compares no canary with that of another program, as when metrics change between two epochs', () => {
    const before = admission();
    before.judge(ready(), manifest);
    const own = admission();
    const program = { ...message.program, seed: 1 };
    own.begin({ message: { ...message, program }, reference: before.reference });
    expect(own.judge(otherCanary, manifest)).toEqual({ status: 'admitted' });
    expect(own.judge(ready(), manifest)).toMatchObject({ status: 'refused' });
  });

  it('compares the canary of the present program only, and the fingerprint of all', () => {
    const own = admission();
    own.judge(ready(), manifest);
    own.begin({ message, reference: null });
    expect(own.judge(otherNode, manifest)).toMatchObject({ status: 'refused' });
    expect(own.judge(otherCanary, manifest)).toEqual({ status: 'admitted' });
    expect(own.judge(ready(), manifest)).toMatchObject({ status: 'refused' });
  });
});
