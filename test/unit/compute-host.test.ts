import { describe, expect, it } from 'vitest';
import type { Fingerprint } from '../../shared/fingerprint.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { ComputeHost } from '../../worker/compute-host.js';
import type { FromThread, ToThread } from '../../worker/thread-messages.js';
import type { ThreadListener, ThreadOwner } from '../../worker/thread-port.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const setup: ToThread = {
  type: 'setup',
  setup: { type: 'setup', threads: 2 } as ToWorkerOf<'setup'>,
  jobPath: null,
};
const cancel = (round: number): ToThread => ({ type: 'cancel', round });
const finished = (round: number): FromThread => ({ type: 'finished', order: { round, lo: 0, hi: 1 } });
const ready = (backend: Fingerprint['backend']): FromThread => ({
  type: 'ready',
  manifestHash: 'a',
  canary: null,
  fallback: null,
  fingerprint: { backend } as Fingerprint,
  model: { weights: 0, inputs: [], outputs: [] },
});

class Listener implements ThreadOwner {
  readonly heard: FromThread[] = [];
  readonly breaks: string[] = [];
  readonly onAnswer = (answer: FromThread): void => void this.heard.push(answer);
  readonly overloads: string[] = [];
  readonly onBroken = (cause: string): void => void this.breaks.push(cause);
  readonly onOverload = (reason: string): void => void this.overloads.push(reason);
}

/** Threads that record what they are sent; the test answers for them. */
function threads(options: { maxHeldBytes?: number } = {}) {
  interface Started {
    readonly posted: ToThread[];
    readonly owner: ThreadListener;
    readonly threads: number;
    handled: number;
    isStopped: boolean;
  }
  const started: Started[] = [];
  const clock = new VirtualClock();
  const host = new ComputeHost({
    ...options,
    clock,
    startThread(count, owner) {
      const thread: Started = { posted: [], owner, threads: count, handled: 0, isStopped: false };
      started.push(thread);
      return {
        get handled() {
          return thread.handled;
        },
        post: (message) => thread.posted.push(message),
        stop: async () => {
          thread.isStopped = true;
          return true;
        },
      };
    },
  });
  const passMs = (ms: number): void => {
    let isOver = false;
    clock.after(ms, () => {
      isOver = true;
    });
    while (!isOver) clock.advance();
  };
  return { host, started, passMs };
}

describe('the compute thread of a worker', () => {
  it('starts with the first setup, with as many threads as it says, and only once', () => {
    const { host, started } = threads();
    host.attach(new Listener());
    expect(started).toHaveLength(0);
    host.post(setup);
    host.post(setup);
    expect(started.map(({ threads: count }) => count)).toEqual([2]);
    expect(started[0].posted).toEqual([setup, setup]);
  });

  it('tells the next owner nothing of what the one before asked for', () => {
    const { host, started } = threads();
    const [first, second] = [new Listener(), new Listener()];
    host.attach(first);
    host.post(setup);
    host.detach();
    host.attach(second);
    host.post(setup);
    const [thread] = started;
    expect(thread.posted).toEqual([setup, { type: 'reset' }]);
    thread.owner.onAnswer(finished(1));
    thread.owner.onAnswer({ type: 'reset' });
    expect(thread.posted).toEqual([setup, { type: 'reset' }, setup]);
    thread.owner.onAnswer(finished(2));
    expect(first.heard).toEqual([]);
    expect(second.heard).toEqual([finished(2)]);
  });

  it('waits for every reset when connections are lost faster than a shard computes', () => {
    const { host, started } = threads();
    const last = new Listener();
    host.attach(new Listener());
    host.post(setup);
    host.detach();
    host.attach(new Listener());
    host.post(cancel(1));
    host.detach();
    host.attach(last);
    host.post(cancel(2));
    const [thread] = started;
    thread.owner.onAnswer({ type: 'reset' });
    thread.owner.onAnswer(finished(1));
    expect(thread.posted).toEqual([setup, { type: 'reset' }, { type: 'reset' }]);
    thread.owner.onAnswer({ type: 'reset' });
    // What the second owner asked for is not wanted either.
    expect(thread.posted.slice(3)).toEqual([cancel(2)]);
    expect(last.heard).toEqual([]);
  });

  it('is replaced when it does not come to the end of a shard that nobody wants', () => {
    const { host, started, passMs } = threads();
    const next = new Listener();
    host.attach(new Listener());
    host.post(setup);
    started[0].owner.onAnswer(ready('wasm'));
    host.detach();
    host.attach(next);
    host.post(setup);
    passMs(59_000);
    expect(started).toHaveLength(1);
    passMs(2_000);
    expect(started).toHaveLength(2);
    expect(started[0].isStopped).toBe(true);
    expect(started[1].posted).toEqual([setup]);
    expect(next.breaks).toEqual([]);
  });

  it.each(['tensorflow', 'onnx:cpu', null] as const)('cannot be replaced when %s is loaded', (backend) => {
    const { host, started, passMs } = threads();
    const next = new Listener();
    host.attach(new Listener());
    host.post(setup);
    if (backend !== null) started[0].owner.onAnswer(ready(backend));
    host.detach();
    passMs(61_000);
    expect(started).toHaveLength(1);
    host.attach(next);
    expect(next.breaks).toEqual(['stuck']);
  });

  it('is left alone when it ends the shard in time', () => {
    const { host, started, passMs } = threads();
    host.attach(new Listener());
    host.post(setup);
    started[0].owner.onAnswer(ready('wasm'));
    host.detach();
    passMs(59_000);
    started[0].owner.onAnswer({ type: 'reset' });
    passMs(60_000);
    expect(started).toHaveLength(1);
    expect(started[0].isStopped).toBe(false);
  });

  it('tells the next owner that it broke while nobody listened', () => {
    const { host, started } = threads();
    host.attach(new Listener());
    host.post(setup);
    host.detach();
    started[0].owner.onBroken('crash', 'it ended');
    const next = new Listener();
    host.attach(next);
    expect(next.breaks).toEqual(['crash']);
  });

  it('is sent no more than it may hold while it does not end what it computes, and then as much again', () => {
    const { host, started } = threads({ maxHeldBytes: 100_000 });
    const owner = new Listener();
    host.attach(owner);
    host.post(setup);
    const weights = (): ToThread => ({ type: 'weights', flat: new Float32Array(5_000) });
    for (let i = 0; i < 100; i++) host.post(weights());
    const [thread] = started;
    expect(thread.posted.filter(({ type }) => type === 'weights')).toHaveLength(4);
    expect(owner.overloads).toHaveLength(96);
    expect(owner.overloads[0]).toMatch(/^the compute thread is behind: 5 messages wait/);
    // It has come to all: of the weights it keeps the last.
    thread.handled = thread.posted.length;
    for (let i = 0; i < 100; i++) host.post(weights());
    expect(thread.posted.filter(({ type }) => type === 'weights')).toHaveLength(4 + 3);
  });

  it('holds no more for one that has yet to confirm a reset, and nothing of an owner that is gone', () => {
    const { host, started } = threads({ maxHeldBytes: 100_000 });
    const first = new Listener();
    host.attach(first);
    host.post(setup);
    host.detach();
    const weights = (): ToThread => ({ type: 'weights', flat: new Float32Array(5_000) });
    for (let connection = 0; connection < 10; connection++) {
      const owner = new Listener();
      host.attach(owner);
      for (let i = 0; i < 10; i++) host.post(weights());
      expect(owner.overloads.length).toBeGreaterThanOrEqual(6);
      expect(owner.overloads.length).toBeLessThan(8);
      host.detach();
    }
    const [thread] = started;
    expect(thread.posted.filter(({ type }) => type !== 'reset')).toEqual([setup]);
  });

  it('is sent no more small messages than a coordinator may send at once', () => {
    const { host, started } = threads({ maxHeldBytes: 2 ** 40 });
    const owner = new Listener();
    host.attach(owner);
    host.post(setup);
    for (let round = 0; round < 262_143; round++) host.post(cancel(round));
    expect(owner.overloads).toEqual([]);
    host.post(cancel(1));
    expect(owner.overloads).toHaveLength(1);
    expect(started[0].posted).toHaveLength(262_144);
  });
});
