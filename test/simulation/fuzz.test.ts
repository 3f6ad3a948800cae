import { strict as assert } from 'node:assert';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Conductor } from '../../coordinator/conductor.js';
import { defaultLimits } from '../../coordinator/core/run-state.js';
import { type MemoryFiles, openMemoryFiles } from '../../coordinator/memory-files.js';
import type { ProgramSetup, RoundRequest } from '../../coordinator/round.js';
import { RoundData } from '../../coordinator/server/round-data.js';
import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { encodeFrame, FrameDecoder, type PayloadStore } from '../../shared/protocol/frame.js';
import { encodePartial } from '../../shared/protocol/partial-payload.js';
import { coordinatorSession, workerSession } from '../../shared/protocol/session.js';
import { encodeShardData } from '../../shared/protocol/tensor-payload.js';
import { toCoordinator } from '../../shared/protocol/to-coordinator.js';
import { toWorker } from '../../shared/protocol/to-worker.js';
import { deriveSeed, Random } from '../../shared/random.js';
import { bytesOf } from '../../shared/tensors.js';
import { peerLimits } from '../../shared/transport/connection.js';
import { IncomingPayloads } from '../../shared/transport/payload-memory.js';
import { subtreesOf, sumTree } from '../../shared/tree.js';
import { WorkerActor } from '../../worker/actor.js';
import type { ToThread } from '../../worker/thread-messages.js';
import { FuzzLine } from './fuzz-line.js';
import { anyPieces, damaged, type Sent } from './fuzz-messages.js';
import { payloadOf } from './payload.js';
import { VirtualClock } from './virtual-clock.js';

/** LOCKSTEP_FUZZ_MESSAGES=100000000 makes a soak of it; LOCKSTEP_FUZZ_CASE=KIND:N replays one case. */
const messages = Number(process.env.LOCKSTEP_FUZZ_MESSAGES ?? 1_000_000);
const replay = process.env.LOCKSTEP_FUZZ_CASE?.split(':');
const perCase = 1_000;

/** Runs the cases of a kind, or the one that is to be replayed, and sees that memory does not grow with them. */
async function fuzz(
  kind: string,
  share: number,
  one: (random: Random) => Promise<void> | void,
): Promise<void> {
  const cases = Math.ceil((messages * share) / perCase);
  let early = 0;
  for (let at = 0; at < cases; at++) {
    if (replay !== undefined && (replay[0] !== kind || Number(replay[1]) !== at)) continue;
    try {
      await one(new Random(deriveSeed(at, 'test', kind.length)));
    } catch (error) {
      throw new Error(`case ${at} failed; LOCKSTEP_FUZZ_CASE=${kind}:${at} replays it`, { cause: error });
    }
    if (at === Math.floor(cases / 4)) early = heapBytes();
  }
  if (replay === undefined) expect(heapBytes() - early).toBeLessThan(16e6);
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');
function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const timeoutMs = 60_000 + messages / 5;
const run = 'fuzz';
const shards = 4;
const identityOf = (worker: number) => ({ run, term: 1, worker, incarnation: worker });
const sha256 = 'ab'.repeat(32);

const setup: ProgramSetup = {
  message: {
    program: { topology: { class_name: 'Model' }, frozenLayers: [], outputs: [], metrics: [], seed: 7 },
    manifestHash: sha256,
    backend: 'cpu',
    threads: 1,
    jobSha256: null,
    heartbeatMs: 1_000,
    canary: null,
  },
  reference: null,
  resultShape: {
    ...{ trainableSize: 6, variables: 1, sums: 1, scores: 0, channels: [] },
    ...{ outputs: 1, outputElements: [1] },
  },
};

const ready = {
  type: 'ready',
  manifestHash: sha256,
  fingerprint: {
    ...{ backend: 'cpu', program: 'eager', lockstep: '0', tfjs: '0', kernels: '0', libtensorflow: null },
    ...{ node: '0', arch: 'x', cpuModel: null, instructionSet: null, device: null, threads: 1, flags: null },
  },
  ...{ threads: 1, pid: 1, host: 'fuzz', canary: null, fallback: null },
};

const column = { dtype: 'float32' as const, shape: [8, 1], data: new Float32Array(8) };

function requestOf(id: number): RoundRequest {
  const data = new RoundData({ x: [column], y: [column] }, 8, 8, shards);
  const flat = new Float32Array(6);
  const spec = {
    ...{ id, kind: 'train' as const, step: id, shards, present: shards, rowsPerShard: 2, audited: [] },
  };
  const weights = { version: id, flat, lend: () => () => {} };
  return { spec, name: 'the batch', batchRows: 8, digest: false, data, indices: null, weights };
}

function sumOf(round: number, lo: number, hi: number): ShardPartial {
  const sum = sumTree({ lo, hi }, (shard) => payloadOf(1, round, shard), addPartials);
  if (sum === null) throw new RangeError('an empty range');
  return sum;
}

function partialOf(round: number, lo: number, hi: number): Sent {
  const { sections, payload } = encodePartial(sumOf(round, lo, hi));
  return { message: { type: 'partial', round, lo, hi, computeMs: 1, sections, digests: [] }, payload };
}

/** A worker that does what it is asked for, when the test wants it. */
class HonestWorker {
  readonly sent: Sent[] = [];
  readonly #orders: { round: number; lo: number; hi: number }[] = [];
  readonly #line: FuzzLine;

  constructor(conductor: Conductor) {
    this.#line = new FuzzLine((message) => {
      const { type } = message as { type: string };
      if (type === 'compute') this.#orders.push(message as { round: number; lo: number; hi: number });
    });
    conductor.add(coordinatorSession(this.#line, identityOf(0)));
    this.#say({ message: ready, payload: [] });
  }

  computeAll(): void {
    for (const { round, lo, hi } of this.#orders.splice(0)) {
      for (const range of subtreesOf({ lo, hi }, shards)) this.#say(partialOf(round, range.lo, range.hi));
    }
  }

  #say(sent: Sent): void {
    this.sent.push(sent);
    this.#line.deliver(
      encodeFrame({ run, term: 1, incarnation: 0, message: sent.message }, [...sent.payload]),
    );
  }
}

const toCoordinatorCorpus: readonly Sent[] = [
  { message: ready, payload: [] },
  ...[0, 1, 2, 3, 99].map((round) => partialOf(round, 0, 4)),
  ...[0, 1, 2, 3].map((lo) => partialOf(2, lo, lo + 1)),
  {
    message: {
      ...{ type: 'outputs', round: 2, lo: 0, hi: 1, computeMs: 1 },
      tensors: [{ dtype: 'float32', shape: [2, 1] }],
    },
    payload: [new Uint8Array(8)],
  },
  ...[null, { round: 1, lo: 0, hi: 1 }, { round: 2, lo: 0, hi: 4 }].map((order) => ({
    message: { type: 'failed', order, shard: null, code: 'WORKER_FAILED', message: 'no', hint: 'no' },
    payload: [],
  })),
  { message: { type: 'heartbeat', state: { phase: 'idle' } }, payload: [] },
  { message: { type: 'heartbeat', state: { phase: 'computing', round: 2, shard: 1 } }, payload: [] },
  { message: { type: 'goodbye', reason: 'fuzz' }, payload: [] },
];

/** A round is computed while others say anything: only the honest worker's answers count, and their sum is exact. */
async function fuzzCoordinator(random: Random): Promise<void> {
  const conductor = new Conductor({
    ...{ clock: new VirtualClock(), limits: defaultLimits, onEvent: () => {}, othersMayCome: true },
    log: pino({ level: 'silent' }),
  });
  conductor.prepare(setup);
  const honest = new HonestWorker(conductor);
  const first = conductor.run(requestOf(conductor.nextRoundId()));
  honest.computeAll();
  await first;
  const round = conductor.nextRoundId();
  const second = conductor.run(requestOf(round));
  const corpus = [...toCoordinatorCorpus, ...honest.sent];
  let joined = 0;
  const join = () => {
    joined += 1;
    const line = new FuzzLine();
    conductor.add(coordinatorSession(line, identityOf(joined), new VirtualClock()));
    return { line, envelope: { run, term: 1, incarnation: joined } };
  };
  let peer = join();
  for (let i = 0; i < perCase; i++) {
    peer.line.deliver(anyPieces(random, peer.envelope, corpus));
    if (peer.line.ended === null && random.next() > 0.02) continue;
    peer.line.hangUp();
    await peer.line.closed;
    peer = join();
  }
  assert(!conductor.isStopped, 'the run was stopped');
  honest.computeAll();
  const { sum } = await second;
  const expected = sumOf(round, 0, shards);
  assert(sum !== null, 'no sum');
  assert.deepEqual(bytesOf(sum.gradient), bytesOf(expected.gradient));
  assert.deepEqual(bytesOf(sum.sums), bytesOf(expected.sums));
  for (const { row, shardsComputed } of conductor.tallies()) {
    assert.equal(shardsComputed, row.worker === 0 ? 2 * shards : 0);
  }
  conductor.close('the case is over');
}

const shardOf = encodeShardData({ x: [column], y: [column], sampleWeights: [null] });
const toWorkerCorpus: readonly Sent[] = [
  { message: { type: 'setup', ...setup.message }, payload: [] },
  { message: { type: 'weights', version: 1 }, payload: [new Uint8Array(24)] },
  { message: { type: 'data', round: 1, shard: 0, tensors: shardOf.tensors }, payload: shardOf.payload },
  {
    message: {
      ...{ type: 'compute', round: 1, kind: 'train', version: 1, step: 1, batchRows: 8, digest: false },
      ...{ shards, lo: 0, hi: 4 },
    },
    payload: [],
  },
  { message: { type: 'cancel', round: 1 }, payload: [] },
  { message: { type: 'heartbeat' }, payload: [] },
  { message: { type: 'rejected', code: 'stale_step', message: 'no' }, payload: [] },
  { message: { type: 'goodbye', reason: 'fuzz' }, payload: [] },
];

/** What reaches the compute thread was said whole, in this incarnation's envelope: nothing else. */
async function fuzzWorker(random: Random): Promise<void> {
  const posts: ToThread[] = [];
  const thread = {
    attach: () => {},
    detach: () => {},
    post: (message: ToThread) => void posts.push(message),
  };
  let joined = 0;
  const join = () => {
    joined += 1;
    const line = new FuzzLine();
    const clock = new VirtualClock();
    const place = { pid: 1, host: 'fuzz', job: null, backend: 'auto' as const, write: () => {} };
    const session = workerSession(line, identityOf(joined), clock);
    return { line, actor: new WorkerActor({ session, clock, thread, ...place }) };
  };
  let peer = join();
  for (let i = 0; i < perCase; i++) {
    posts.length = 0;
    // A false coordinator knows everything but this incarnation.
    const isOurs = random.next() < 0.5;
    peer.line.deliver(
      anyPieces(random, { run, term: 1, incarnation: isOurs ? joined : -joined }, toWorkerCorpus),
    );
    assert(isOurs || posts.length === 0, 'a message of another incarnation was heard');
    assert(posts.length <= 2, 'more was heard than said');
    if (peer.line.ended === null && random.next() > 0.02) continue;
    peer.line.hangUp();
    await peer.actor.done;
    peer = join();
  }
}

/** Whatever the bytes: a frame, a wait for more, or a coded refusal; and what is damaged is no other frame. */
function fuzzCodec(random: Random): void {
  const limits = { ...peerLimits, maxHeaderBytes: 100_000, maxPayloadBytes: 100_000 };
  const files = openMemoryFiles();
  for (let i = 0; i < perCase; i++) {
    const corpus = random.next() < 0.5 ? toWorkerCorpus : toCoordinatorCorpus;
    const envelope = { run, term: 1, incarnation: 1 };
    const pieces = anyPieces(random, envelope, corpus);
    const decoder = new FrameDecoder(limits);
    if (files !== null) decoder.lookIn(otherEndOf(files));
    for (const piece of damaged(random, pieces.length === 0 ? [new Uint8Array(8)] : pieces)) {
      const decoded = decoder.push(piece);
      assert(['frame', 'incomplete', 'refused'].includes(decoded.status));
      if (decoded.status === 'refused') break;
    }
  }
  files?.close();
}

/** Payloads in memory as they come out at a worker: of any length that is asked for, and of no meaning. */
function otherEndOf({ memory, descriptors }: MemoryFiles): PayloadStore {
  memory.lineFor({ begins: true }).put([new Uint8Array(2_000)], 2_000, 2_000);
  return new IncomingPayloads(descriptors[0]);
}

it('the messages that are damaged are good ones at first', () => {
  for (const { message } of toCoordinatorCorpus) toCoordinator.parse(message);
  for (const { message } of toWorkerCorpus) toWorker.parse(message);
});

describe(`of ${messages.toLocaleString('en')} messages, cut, flipped, mutated, replayed and out of order`, () => {
  it('none crashes the codec', () => fuzz('codec', 0.7, fuzzCodec), timeoutMs);
  it('none has an effect on a run', () => fuzz('coordinator', 0.18, fuzzCoordinator), timeoutMs);
  it(
    'none that is not of its coordinator reaches a worker',
    () => fuzz('worker', 0.12, fuzzWorker),
    timeoutMs,
  );
});
