import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelState } from '../../coordinator/loop/model-state.js';
import { receiptsFor } from '../../coordinator/loop/receipts-for.js';
import { sgd } from '../../coordinator/optimizer/configs.js';
import { readReceipts } from '../../coordinator/receipts/read-receipts.js';
import { Receipts } from '../../coordinator/receipts/receipts.js';
import { openFile, ReceiptsFile } from '../../coordinator/receipts/receipts-file.js';
import { maxDigestedShards } from '../../coordinator/server/peer-bounds.js';
import { digestOf } from '../../shared/digest.js';
import type { Manifest } from '../../shared/manifest.js';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { peerLimits } from '../../shared/transport/connection.js';

/** A model of so many trainable numbers, each a variable of its own. */
function manifestOf(variables: number): Manifest {
  const weights = Array.from({ length: variables }, (_, offset) => {
    return { name: `v${offset}`, shape: [1], size: 1, trainable: true, offset };
  });
  return { weights, trainableSize: variables, totalSize: variables, batchNorms: [], frozenLayers: [] };
}

function stateOf(variables: number): ModelState {
  const flat = new Float32Array(variables);
  return new ModelState({ manifest: manifestOf(variables), flat, optimizer: sgd(), constraints: [] });
}

const digest = digestOf([]);
const run = { runId: 'run', seed: 7, batchSize: 65_536 };

describe('the shards of a step, recorded', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lockstep-recorded-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('are written and read where a line of them is longer than what else may wait for the disk', async () => {
    const path = join(directory, 'receipts.jsonl');
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const file = new ReceiptsFile({ path, keepBytes: 0, onWarning, openFile });
    const state = stateOf(1);
    const options = { state, file, onReceipt: null, recordShards: true, resumed: null };
    const receipts = new Receipts({ run: { ...run, shards: 2 }, ...options });
    receipts.start(0, 'cpu');
    // 9 MB of hexadecimal digits in the first shard alone.
    const shards = new Map([0, 1].map((shard) => [shard, new Array(280_000 - shard).fill(digest)]));
    for (const step of [1, 2]) {
      const facts = { step, epoch: 0, batch: step, samples: new Float64Array(), cursor: null, shards };
      receipts.committed(facts, digest);
    }
    await receipts.close();
    expect(warnings).toEqual([]);
    const lines = [];
    for await (const line of readReceipts(path)) lines.push(line);
    expect(lines.map(({ line, isLinked }) => [line.step, isLinked])).toEqual([0, 1, 2].map((n) => [n, true]));
    expect(lines[2].line).toMatchObject({ chain: receipts.chain });
    expect(Reflect.get(lines[2].line, 'shards').map(({ length }: string) => length / 32)).toEqual([
      280_000, 279_999,
    ]);
  });

  it.each([1, 6, 300, 100_000])(
    'fit in one message as long as they are allowed: %i variables',
    (variables) => {
      const shards = maxDigestedShards(variables);
      expect(shards * variables).toBeGreaterThan(150_000);
      const digests = Array.from({ length: shards }, (_, shard) => ({
        shard,
        variables: new Array(variables).fill(digest),
      }));
      const sections = {
        gradient: 2 ** 31,
        sums: 1_000,
        moments: new Array(10_000).fill({ batchNorm: 9_999, channels: 100_000 }),
        scores: new Array(1_000).fill(2 ** 20),
      };
      const body = { type: 'partial', round: 2 ** 40, lo: 0, hi: shards, computeMs: 0.1, sections, digests };
      const [head] = encodeFrame(body);
      expect(head.byteLength).toBeLessThan(peerLimits.maxHeaderBytes);
    },
  );

  it('are refused before anything starts if no message could tell of them', async () => {
    const asked = { checkpoints: null, resume: null, recordShards: true, onReceipt: () => {} };
    const open = (shards: number) => receiptsFor(asked, { ...run, shards }, stateOf(300), () => {});
    const most = maxDigestedShards(300);
    await expect(open(most + 1)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(`${most + 1} shards with 300 variables each`),
      hint: expect.stringContaining(`at most ${most} shards`),
    });
    await open(most);
  });
});
