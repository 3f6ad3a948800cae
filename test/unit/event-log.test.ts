import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { eventLog } from '../../cli/event-log.js';
import type { RunEvent } from '../../coordinator/events.js';
import { createLogger } from '../../shared/log.js';
import { epochEnd, start, step } from './progress-events.js';

describe('the log', () => {
  function logged(events: readonly (readonly [number, RunEvent])[]): Record<string, unknown>[] {
    const lines: string[] = [];
    const destination = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    let nowMs = 0;
    const listen = eventLog(createLogger({ destination }), () => nowMs);
    for (const [atMs, event] of events) {
      nowMs = atMs;
      listen(event);
    }
    return lines.map((line) => JSON.parse(line));
  }

  it('has one JSON line per event, with its fields', () => {
    const [first, second] = logged([
      [0, start],
      [0, { type: 'worker-lost', worker: 1, reason: 'gone' }],
    ]);
    expect(first).toMatchObject({ level: 'info', event: 'start', seed: 7, shards: 4, parameters: 93_322 });
    expect(second).toMatchObject({ level: 'warn', event: 'worker-lost', worker: 1, reason: 'gone' });
  });

  it('has steps at most once a second, and every end of an epoch', () => {
    const steps = Array.from({ length: 50 }, (_, batch) => [batch * 100, step(batch)] as const);
    const lines = logged([...steps, [5000, epochEnd], [5001, { type: 'test-batch', batch: 0, batches: 1 }]]);
    expect(lines.filter(({ event }) => event === 'step').map((line) => line.batch)).toEqual([
      0, 10, 20, 30, 40,
    ]);
    expect(lines.at(-1)).toMatchObject({ event: 'epoch-end', steps: 500 });
  });

  it('never holds a secret', () => {
    let line = '';
    const logger = createLogger({
      destination: {
        write: (text) => {
          line += text;
        },
      },
    });
    logger.info({ token: 'hunter2hunter2', options: { token: 'hunter2hunter2', key: 'PEM' } }, 'joined');
    expect(line).not.toContain('hunter2');
    expect(line).not.toContain('PEM');
    expect(line).toContain('"msg":"joined"');
  });
});
