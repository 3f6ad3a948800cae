import { closeSync, openSync, readdirSync, readlinkSync, statSync, writeSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cluster, type LocalOptions } from '../../coordinator/cluster.js';
import type { RunEvent } from '../../coordinator/events.js';
import { memoryDescriptors } from '../../shared/local-worker.js';
import { IncomingPayloads, OutgoingPayloads } from '../../shared/transport/payload-memory.js';
import { denseModel, rowsOfWaves } from './small-training.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Weights of a network whose payloads are large enough for memory, and the cluster's events. */
async function train(
  disturb: (batch: number, cluster: Cluster) => void = () => {},
  options: LocalOptions = {},
) {
  const events: RunEvent[] = [];
  const onEvent = (event: RunEvent): void => void events.push(event);
  await using cluster = await Cluster.local({ workers: 2, backend: 'cpu', ...options, onEvent });
  const model = denseModel(200);
  const { x, y } = rowsOfWaves(96);
  const callbacks = [{ name: 'disturb', onTrainBatchEnd: (batch: number) => disturb(batch, cluster) }];
  try {
    await cluster.fit(model, { x, y }, { batchSize: 16, shards: 4, seed: 1, callbacks });
    const { counts } = cluster.access.conductor;
    const lost = events.flatMap((event) => (event.type === 'worker-lost' ? [event.reason] : []));
    return { weights: model.getWeights().map((weight) => [...weight.dataSync()]), lost, counts };
  } finally {
    model.dispose();
    x.dispose();
    y.dispose();
  }
}

const pidsOf = ({ access }: Cluster): number[] =>
  access.conductor.tallies().flatMap(({ row, lost }) => (lost === null ? [row.pid] : []));

/** The files in memory that a process has open. */
function memoryOf(pid: number): { descriptor: number; name: string; path: string }[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder)
    .map((descriptor) => ({ descriptor: Number(descriptor), path: `${folder}/${descriptor}` }))
    .map((file) => ({ ...file, name: readlinkSync(file.path) }))
    .filter(({ name }) => name.startsWith('/dev/shm/'));
}

/** Changes what a worker reads or writes. */
function overwrite(pid: number, direction: keyof typeof memoryDescriptors, offset: number): void {
  const descriptor = openSync(`/proc/${pid}/fd/${memoryDescriptors[direction]}`, 'r+');
  writeSync(descriptor, new Uint8Array(16).fill(0x55), 0, 16, offset + 160);
  closeSync(descriptor);
}

describe.runIf(process.platform === 'linux')('a local run whose payloads cross in memory', () => {
  it('has the bits of one whose payloads cross a socket, also when a worker is killed and what is in memory changes', async () => {
    vi.stubEnv('LOCKSTEP_SHARED_MEMORY', 'off');
    const onSocket = await train((_, cluster) => {
      expect(pidsOf(cluster).flatMap(memoryOf)).toEqual([]);
    });
    vi.unstubAllEnvs();

    const take = vi.spyOn(IncomingPayloads.prototype, 'take');
    const put = vi.spyOn(OutgoingPayloads.prototype, 'put');
    let changed = 0;
    const inMemory = await train((batch, cluster) => {
      const pids = pidsOf(cluster);
      if (batch === 0) {
        for (const files of pids.map(memoryOf)) {
          expect(files.map(({ descriptor }) => descriptor)).toEqual(Object.values(memoryDescriptors));
          // Without a name, so that nothing can stay behind.
          for (const { name } of files) expect(name).toMatch(/^\/dev\/shm\/#\d+ \(deleted\)$/);
          // Beside the page of the reader.
          for (const { path } of files) expect(statSync(path).size).toBeGreaterThan(4_096);
        }
      }
      if (batch === 1) process.kill(pids[0], 'SIGKILL');
      if (batch === 2) {
        // Partials that come in change before they are read.
        take.mockImplementationOnce(function (this: IncomingPayloads, place, bytes) {
          changed += 1;
          for (const pid of pids) overwrite(pid, 'outgoing', place.offset);
          return this.take(place, bytes);
        });
      }
      if (batch === 3) {
        // Weights that go out change before they are read.
        put.mockImplementationOnce(function (this: OutgoingPayloads, ...payload) {
          const place = this.put(...payload);
          changed += 1;
          for (const pid of pidsOf(cluster)) overwrite(pid, 'incoming', place?.offset ?? 0);
          return place;
        });
      }
    });
    expect(inMemory.weights).toEqual(onSocket.weights);
    expect(changed).toBe(2);
    expect(
      inMemory.lost.filter((reason) => reason.includes('do not match their checksum')).length,
    ).toBeGreaterThanOrEqual(2);
    expect(inMemory.counts.recomputed).toBeGreaterThan(0);
  });

  it('shares no memory with workers whose links a plan of faults may disturb', async () => {
    const plan = { faults: [{ step: 1, do: 'corrupt' as const, worker: 0 }] };
    const { lost } = await train((_, cluster) => void expect(pidsOf(cluster).flatMap(memoryOf)).toEqual([]), {
      faults: plan,
    });
    expect(lost).toHaveLength(1);
  });
});
