import { describe, expect, it } from 'vitest';
import { LockstepError } from '../../shared/errors.js';
import type { FromThread } from '../../worker/thread-messages.js';
import { Scene } from './worker-scene.js';

const finished: FromThread = { type: 'finished', order: { round: 1, lo: 0, hi: 2 } };
const failed: FromThread = {
  ...{
    type: 'failed',
    order: { round: 1, lo: 0, hi: 2 },
    shard: 0,
    code: 'WORKER_FAILED',
    message: 'old',
    hint: 'h',
  },
};

describe("a worker's life", () => {
  it('goes on as a new incarnation when the line breaks, and nothing of the old one reaches the new', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.last.breakLine();
    await scene.settle();
    expect(scene.thread.log).toEqual(['attach', 'setup', 'compute', 'detach']);
    await scene.pass(200);
    expect(scene.incarnations).toHaveLength(2);
    expect(scene.thread.log.slice(4)).toEqual(['attach']);
    expect(scene.incarnations[1].heard).toEqual([]);
    expect(scene.lines.some((line) => line.includes('joining again'))).toBe(true);
    scene.last.coordinator.close('goodbye');
    expect(await scene.ended).toBe('left');
  });

  it('comes back when it was thought to be gone, or what it sent was broken on the way', async () => {
    for (const code of ['silent', 'checksum', 'malformed', 'oversize', 'stale_incarnation'] as const) {
      const scene = new Scene();
      await scene.begin();
      scene.last.coordinator.close(code);
      await scene.pass(200);
      expect(scene.incarnations).toHaveLength(2);
      scene.last.coordinator.close('goodbye');
      expect(await scene.ended).toBe('left');
    }
  });

  it('ends when it is refused, with the reason', async () => {
    for (const code of ['fingerprint_mismatch', 'manifest_mismatch', 'failed'] as const) {
      const scene = new Scene();
      await scene.begin();
      scene.last.coordinator.send({ type: 'rejected', code, message: 'because of the threads' });
      scene.last.coordinator.close(code, 'no');
      expect(await scene.ended).toBe('CONNECTION_LOST: because of the threads');
      expect(scene.attempts).toBe(1);
    }
  });

  it('ends with its own error when that is why it was sent away', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.thread.answer(failed);
    await scene.settle();
    scene.last.coordinator.close('failed', 'it failed');
    expect(await scene.ended).toBe('WORKER_FAILED: old');
  });

  it('gives up with the last reason when nobody takes it back', async () => {
    const scene = new Scene({ rejoinMs: 30_000 });
    await scene.begin();
    scene.isReachable = false;
    scene.last.breakLine();
    await scene.pass(31_000);
    expect(await scene.ended).toMatch(
      /^CONNECTION_LOST: the connection broke; then no coordinator at memory: for 30 s$/,
    );
    expect(scene.attempts).toBeGreaterThan(5);
  });

  it('does not come back when it was told not to', async () => {
    const scene = new Scene({ rejoinMs: 0 });
    await scene.begin();
    scene.last.breakLine();
    expect(await scene.ended).toBe('CONNECTION_LOST: the connection broke');
    expect(scene.attempts).toBe(1);
  });

  it('does not try again with a token that is not accepted any more', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.refusal = new LockstepError('AUTH_FAILED', 'not this token', { hint: 'h' });
    scene.last.breakLine();
    await scene.pass(200);
    expect(await scene.ended).toBe('AUTH_FAILED: not this token');
  });

  it('leaves at once when it is asked to while it is away', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.isReachable = false;
    scene.last.breakLine();
    await scene.pass(5_000);
    scene.leaving.abort();
    expect(await scene.ended).toBe('left');
  });

  it('finishes what it computes before it leaves', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.leaving.abort();
    await scene.settle();
    expect(scene.last.heard.map(({ type }) => type)).toEqual(['ready']);
    scene.thread.answer(finished);
    expect(await scene.ended).toBe('left');
    await scene.settle();
    expect(scene.last.heard.map(({ type }) => type)).toEqual(['ready', 'goodbye']);
  });

  it('says that it is alive every second, however long a shard computes', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.thread.answer({ type: 'computing', round: 1, shard: 0 });
    await scene.pass(3_600_500, { beats: true });
    const beats = scene.last.heard.filter(({ type }) => type === 'heartbeat');
    expect(beats).toHaveLength(3_600);
    expect(beats[3_599]).toEqual({
      type: 'heartbeat',
      state: { phase: 'computing', round: 1, shard: 0 },
    });
    expect(scene.incarnations).toHaveLength(1);
  });

  it('takes a coordinator that says nothing for too long as lost, before setup too', async () => {
    for (const isSetUp of [false, true]) {
      const scene = new Scene({ silenceMs: 30_000 });
      if (isSetUp) await scene.begin();
      await scene.pass(29_000);
      expect(scene.incarnations).toHaveLength(1);
      const first = scene.last.coordinator;
      await scene.pass(2_000);
      expect(scene.incarnations).toHaveLength(2);
      expect(await first.closed).toMatchObject({ code: 'silent', by: 'peer' });
    }
  });
});
