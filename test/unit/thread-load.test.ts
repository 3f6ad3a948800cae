import { describe, expect, it } from 'vitest';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { bytesOf, ThreadLoad } from '../../worker/thread-load.js';
import type { ToThread } from '../../worker/thread-messages.js';

const data = (round: number, elements: number): ToThread => ({
  ...{ type: 'data', round, shard: 0 },
  data: {
    x: [{ dtype: 'float32', shape: [elements], data: new Float32Array(elements) }],
    y: [],
    sampleWeights: [],
  },
});
const weights = (elements: number): ToThread => ({ type: 'weights', flat: new Float32Array(elements) });
const compute = (round: number): ToThread => ({
  type: 'compute',
  compute: { type: 'compute', round } as ToWorkerOf<'compute'>,
});

/** A thread's load as the bytes of tensors alone: what messages cost besides is less than 2 KiB each here. */
function load() {
  const own = new ThreadLoad();
  let count = 0;
  const post = (...messages: ToThread[]): void => {
    for (const message of messages) own.posted(message, bytesOf(message));
  };
  const handle = (messages: number): void => {
    count += messages;
    own.handled(count);
  };
  const megabytes = () => Math.floor(own.bytes / 1e6);
  return { own, post, handle, megabytes };
}

describe('what a compute thread holds', () => {
  it('is all that it has not come to', () => {
    const { own, post, megabytes } = load();
    post(weights(1e6), data(1, 1e6), compute(1));
    expect(own.messages).toBe(3);
    expect(megabytes()).toBe(8);
  });

  it('is, of what it has come to, the last weights and the data of rounds that are not over', () => {
    const { own, post, handle, megabytes } = load();
    post(weights(1e6), data(1, 1e6), data(2, 1e6), compute(1), weights(1e6), compute(2), compute(3));
    handle(4);
    // The data of round 1 stays until an order of a later round.
    expect(own.messages).toBe(3);
    expect(megabytes()).toBe(4 + 8 + 4);
    handle(2);
    expect(megabytes()).toBe(4 + 4);
    handle(1);
    expect(megabytes()).toBe(4);
    expect(own.messages).toBe(0);
  });

  it.each([
    ['a cancelled round', { type: 'cancel', round: 7 }],
    ['a reset', { type: 'reset' }],
  ] as const)('loses the data of %s', (_, message) => {
    const { post, handle, megabytes } = load();
    post(data(7, 1e6), message);
    handle(1);
    expect(megabytes()).toBe(4);
    handle(1);
    expect(megabytes()).toBe(0);
  });

  it('does not grow with what was held before', () => {
    const { own, post, handle } = load();
    for (let round = 0; round < 10_000; round++) {
      post(weights(10), data(round, 10), compute(round));
      handle(3);
    }
    expect(own.messages).toBe(0);
    expect(own.bytes).toBeLessThan(10_000);
  });
});
