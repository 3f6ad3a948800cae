import { describe, expect, it } from 'vitest';
import { ComputeThread } from '../../worker/thread.js';

/** Holds this thread up while another one does something. */
const waitMs = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const running = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`);

function thread(source: string) {
  const told: string[] = [];
  const listener = {
    onAnswer: () => void told.push('answer'),
    onBroken: (cause: string) => void told.push(cause),
  };
  return { thread: new ComputeThread(listener, running(source)), told };
}

describe('a compute thread', () => {
  it('that breaks is told of once', async () => {
    const { told } = thread(`throw new RangeError('broken');`);
    await expect.poll(() => told).toEqual(['crash']);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toEqual(['crash']);
  });

  it('that has broken when it is stopped tells nobody, and does not end the process', async () => {
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtExceptionMonitor', note);
    try {
      const broken = thread(`throw new RangeError('too late to be heard');`);
      waitMs(500);
      expect(await broken.thread.stop()).toBe(true);
      expect(broken.told).toEqual([]);
      expect(uncaught).toEqual([]);
    } finally {
      process.off('uncaughtExceptionMonitor', note);
    }
  });

  it('says how far it has come with its messages', async () => {
    const { thread: counting } = thread(`
      import { parentPort, workerData } from 'node:worker_threads';
      parentPort.on('message', () => Atomics.add(new Int32Array(workerData), 2, 1));
    `);
    expect(counting.handled).toBe(0);
    for (const round of [1, 2, 3]) counting.post({ type: 'cancel', round }, []);
    await expect.poll(() => counting.handled).toBe(3);
    await counting.stop();
  });
});
