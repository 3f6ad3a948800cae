import { describe, expect, it, vi } from 'vitest';
import type { Conductor } from '../../coordinator/conductor.js';
import type { TrainingBatch } from '../../coordinator/data/dataset.js';
import { type FeedOptions, feed } from '../../coordinator/loop/feed.js';
import { OutsideWait } from '../../coordinator/outside-wait.js';
import type { RoundPlan, RoundRequest } from '../../coordinator/round.js';
import { systemClock } from '../../shared/clock.js';

const weights = { version: 1, flat: new Float32Array(0), lend: () => () => {} };
const options: FeedOptions = {
  kind: 'train',
  batchSize: 8,
  shards: 4,
  firstStep: 20,
  prepare: (batch) => batch,
};

/** Batches of these rows; tells what becomes of it. */
function source(rows: readonly number[], log: string[], failsAt = Number.NaN): AsyncIterable<TrainingBatch> {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (const [i, length] of rows.entries()) {
          log.push(`read ${i}`);
          if (i === failsAt) throw new RangeError('bad row');
          const x = [{ dtype: 'float32' as const, shape: [length], data: new Float32Array(length).fill(i) }];
          yield { batch: { x, y: [] }, rows: length, samples: Float64Array.of(i), cursor: i };
        }
      } finally {
        log.push('closed');
      }
    },
  };
}

/** The part of a conductor that a feed uses; a round takes a turn of the event loop. */
function listener(log: string[]): { conductor: Conductor; requests: RoundRequest[]; ahead: RoundPlan[] } {
  const requests: RoundRequest[] = [];
  const ahead: RoundPlan[] = [];
  let id = 0;
  const part: Pick<Conductor, 'clock' | 'outside' | 'nextRoundId' | 'prefetch' | 'run'> = {
    clock: systemClock,
    outside: new OutsideWait(systemClock),
    nextRoundId: () => ++id,
    prefetch(plan) {
      ahead.push(plan);
      log.push(`ahead ${plan.spec.step}`);
    },
    run(request) {
      requests.push(request);
      log.push(`run ${request.spec.step}`);
      return new Promise((resolve) => {
        setImmediate(() => {
          log.push(`ran ${request.spec.step}`);
          resolve({
            sum: null,
            outputs: [],
            digests: new Map(),
            roundMs: 0,
            computeMs: 0,
            broadcastMs: 0,
            reduceMs: 0,
          });
        });
      });
    },
  };
  return { conductor: part as Conductor, requests, ahead };
}

describe('feeding batches', () => {
  it('reads the next one and sends it ahead while the present one is computed', async () => {
    const log: string[] = [];
    const { conductor } = listener(log);
    for await (const turn of feed(conductor, source([8, 8, 3], log), options)) await turn.run(weights);
    expect(log).toEqual([
      'read 0',
      'run 20',
      'read 1',
      'ahead 21',
      'ran 20',
      'run 21',
      'read 2',
      'ahead 22',
      'ran 21',
      'run 22',
      'closed',
      'ran 22',
    ]);
  });

  it('cuts every batch by the rows per shard of a full one', async () => {
    const { conductor, requests } = listener([]);
    for await (const turn of feed(conductor, source([8, 3], []), options)) await turn.run(weights);
    expect(requests.map(({ spec, batchRows }) => ({ ...spec, batchRows }))).toEqual([
      { id: 1, kind: 'train', shards: 4, present: 4, step: 20, rowsPerShard: 2, audited: [], batchRows: 8 },
      { id: 2, kind: 'train', shards: 4, present: 2, step: 21, rowsPerShard: 2, audited: [], batchRows: 3 },
    ]);
    expect(requests[1].data.shard(1).x[0].shape).toEqual([1]);
  });

  it('computes what it sent ahead', async () => {
    const { conductor, requests, ahead } = listener([]);
    for await (const turn of feed(conductor, source([8, 8], []), options)) await turn.run(weights);
    expect(requests[1].data).toBe(ahead[0].data);
    expect(requests[1].spec).toEqual(ahead[0].spec);
  });

  it('closes the source when its consumer stops early', async () => {
    const log: string[] = [];
    const { conductor } = listener(log);
    for await (const turn of feed(conductor, source([8, 8, 8], log), options)) {
      await turn.run(weights);
      break;
    }
    expect(log.at(-1)).toBe('closed');
    expect(log).not.toContain('read 2');
  });

  it('finishes the present batch before an error of the next one’s data comes up', async () => {
    const log: string[] = [];
    const { conductor } = listener(log);
    const consume = async (): Promise<void> => {
      for await (const turn of feed(conductor, source([8, 8], log, 1), options)) {
        await turn.run(weights);
        log.push('committed');
      }
    };
    await expect(consume()).rejects.toThrow('bad row');
    expect(log).toContain('committed');
  });

  it('prepares each batch before it is sent', async () => {
    const { conductor, requests } = listener([]);
    const y = [{ dtype: 'float32' as const, shape: [8], data: new Float32Array(8).fill(7) }];
    const prepared = feed(conductor, source([8], []), {
      ...options,
      prepare: (batch) => ({ ...batch, y }),
    });
    for await (const turn of prepared) await turn.run(weights);
    expect(requests[0].data.shard(0).y[0].data[0]).toBe(7);
  });
});

describe('a source that does not answer', () => {
  /** One batch, and no second one, ever. */
  function hanging(log: string[]): AsyncIterable<TrainingBatch> {
    return {
      async *[Symbol.asyncIterator]() {
        try {
          yield* source([8], []);
          await new Promise(() => {});
        } finally {
          log.push('closed');
        }
      },
    };
  }

  it('is spoken of after ten seconds, and every minute from then on', async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval', 'performance'],
    });
    try {
      const { conductor } = listener([]);
      const controller = new AbortController();
      const reasons: string[] = [];
      const onWaiting = (reason: string): void => void reasons.push(reason);
      const turns = feed(conductor, hanging([]), { ...options, signal: controller.signal, onWaiting });
      const first = await turns.next();
      await first.value?.run(weights);
      const second = turns.next();
      await vi.advanceTimersByTimeAsync(9_999);
      expect(reasons).toEqual([]);
      expect(conductor.outside.reason).toBe('waiting for the data of step 22, 10.0 s');
      await vi.advanceTimersByTimeAsync(120_001);
      expect(reasons).toEqual([
        'waiting for the data of step 22, 10.0 s',
        'waiting for the data of step 22, 70.0 s',
        'waiting for the data of step 22, 130.0 s',
      ]);
      controller.abort();
      await vi.advanceTimersByTimeAsync(5_000);
      expect(await second).toEqual({ done: true, value: undefined });
      expect(conductor.outside.reason).toBeNull();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('holds up neither the batch before it nor the end after a signal', async () => {
    const log: string[] = [];
    const { conductor } = listener(log);
    const controller = new AbortController();
    let turns = 0;
    const startedMs = performance.now();
    for await (const turn of feed(conductor, hanging(log), { ...options, signal: controller.signal })) {
      await turn.run(weights);
      turns += 1;
      controller.abort();
    }
    expect(turns).toBe(1);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    // It could not be closed: it never came back from what it waits for.
    expect(log).not.toContain('closed');
  });
});
