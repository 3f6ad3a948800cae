import { isOpen } from '../../shared/backends.js';
import { invariant } from '../../shared/errors.js';
import { cutToText } from '../../shared/protocol/fields.js';
import type { SealedPayload } from '../../shared/protocol/frame.js';
import { type RejectCode, rejections } from '../../shared/protocol/reject.js';
import type { CoordinatorSession } from '../../shared/protocol/session.js';
import { encodeShardData } from '../../shared/protocol/tensor-payload.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import { type ShardRange, subtreesOf } from '../../shared/tree.js';
import type { WorkerRow } from '../events.js';
import type { ProgramSetup, RoundPlan, RoundRequest, WorkerTally } from '../round.js';
import type { ResultShape } from './incoming.js';
import { PeerBounds } from './peer-bounds.js';
import { shardsIn } from './round-data.js';
import { WorkingHours } from './working-hours.js';

/** A worker that is sound sends what it was asked for; only another program voids what it still computes. */
const maxRejections = 64;

/** One worker as the coordinator knows it: what it was sent, and what it has done. */
export class RemoteWorker {
  readonly #session: CoordinatorSession;
  readonly #bounds: PeerBounds;
  /** What its results must look like; null before the first setup. */
  #resultShape: ResultShape | null = null;
  #hasChosen = false;
  /** Shards whose data was sent, by round. */
  readonly #delivered = new Map<number, Set<number>>();
  #weightsVersion: number | null = null;
  /** Programs that it was told to build and has not answered for; it answers each of them, in order. */
  #unanswered = 0;
  /** The last round that it was ordered to compute for: it has dropped the data of those before. */
  #orderedRound = 0;
  /** How often it is told that the coordinator is there, also before the first setup says so. */
  #heartbeatMs = 1_000;
  #lastBeatMs = Number.NEGATIVE_INFINITY;
  #row: WorkerRow | null = null;
  #shardsComputed = 0;
  readonly #hours = new WorkingHours();
  #lost: string | null = null;
  #rejections = 0;

  constructor(session: CoordinatorSession) {
    this.#session = session;
    this.#bounds = new PeerBounds(session);
  }

  get worker(): number {
    return this.#session.identity.worker;
  }

  get address(): string {
    return this.#session.peer;
  }

  /** Why it is gone; null while it is here. */
  get lost(): string | null {
    return this.#lost;
  }

  /** What people see of it; null until it was first ready. */
  get row(): WorkerRow | null {
    return this.#row;
  }

  /** Of the weights that it was sent last; null if it has none. */
  get weightsVersion(): number | null {
    return this.#weightsVersion;
  }

  /** The last round that it was ordered to compute for. */
  get orderedRound(): number {
    return this.#orderedRound;
  }

  /** Whether it was told to build a program and has not answered for it: results that come are of an earlier one. */
  get isBuilding(): boolean {
    return this.#unanswered > 0;
  }

  /** Whether its last program was left to compute on a backend of its own choice. */
  get hasChosen(): boolean {
    return this.#hasChosen;
  }

  prepare(setup: ProgramSetup, backend: ProgramSetup['message']['backend']): void {
    this.#weightsVersion = null;
    this.#delivered.clear();
    this.#unanswered += 1;
    this.#heartbeatMs = setup.message.heartbeatMs;
    this.#resultShape = setup.resultShape;
    this.#hasChosen = isOpen(backend);
    this.#session.send({ type: 'setup', ...setup.message, backend });
  }

  /** Counts an answer to a program. Gives whether it is about the latest one. @throws InvariantError if none was due */
  answer(): boolean {
    invariant(this.#unanswered > 0, `worker ${this.worker} has nothing to answer`);
    this.#unanswered -= 1;
    if (this.#unanswered > 0) return false;
    this.#bounds.reset();
    return true;
  }

  /** Remembers what it said of itself. Gives whether this is the first time. */
  admit({ pid, host, threads, fingerprint }: ToCoordinatorOf<'ready'>, nowMs: number): boolean {
    const isNew = this.#row === null;
    this.#rejections = 0;
    this.#hours.begin(nowMs);
    const { backend, device } = fingerprint;
    this.#row = { worker: this.worker, host, pid, backend, device, threads };
    return isNew;
  }

  /** Sends the data of shards that it does not have yet. */
  deliver({ spec, data }: RoundPlan, range: ShardRange): void {
    this.#bounds.sends({ batchBytes: data.bytes });
    const sent = this.#delivered.get(spec.id) ?? new Set<number>();
    this.#delivered.set(spec.id, sent);
    for (const shard of shardsIn(range)) {
      if (sent.has(shard)) continue;
      sent.add(shard);
      const { tensors, payload } = encodeShardData(data.shard(shard));
      this.#session.send({ type: 'data', round: spec.id, shard, tensors }, payload);
    }
  }

  /** Sends weights. @param payload float32[totalSize], lent until `onReleased` is called */
  sendWeights(version: number, payload: SealedPayload, onReleased: () => void): void {
    this.#bounds.sends({ weightsBytes: payload.bytes });
    this.#session.send({ type: 'weights', version }, payload, onReleased);
    this.#weightsVersion = version;
  }

  /** Orders shards, after the data that it lacks. It has been sent the weights. */
  order(request: RoundRequest, range: ShardRange, nowMs: number): void {
    const { weights, spec, batchRows, digest, data } = request;
    invariant(this.#weightsVersion === weights.version, `worker ${this.worker} lacks the weights`);
    invariant(this.#resultShape !== null, 'an order before setup');
    const rows = data.plan.rowsOf(range.hi - 1).hi - data.plan.rowsOf(range.lo).lo;
    this.#bounds.asked(this.#resultShape, { kind: spec.kind, rows, shards: range.hi - range.lo, digest });
    this.deliver(request, range);
    this.#orderedRound = Math.max(this.#orderedRound, spec.id);
    this.#hours.ordered(subtreesOf(range, spec.shards).length, nowMs);
    const { id: round, kind, step, shards } = spec;
    const { version } = weights;
    this.#session.send({ type: 'compute', round, kind, version, step, batchRows, digest, shards, ...range });
  }

  /** Lets the worker know that the coordinator is there, as often as the setup promises. */
  beat(nowMs: number): void {
    if (nowMs - this.#lastBeatMs < this.#heartbeatMs) return;
    this.#lastBeatMs = nowMs;
    this.#session.send({ type: 'heartbeat' });
  }

  /** It has answered for a unit. */
  credit(range: ShardRange, computeMs: number, nowMs: number): void {
    this.#shardsComputed += range.hi - range.lo;
    this.#hours.answered(computeMs, nowMs);
  }

  /** Rounds up to this one are over. It may drop what it was sent ahead for rounds that others computed, or nobody. */
  forget(roundId: number): void {
    for (const id of [...this.#delivered.keys()]) {
      if (id > roundId) continue;
      this.#delivered.delete(id);
      if (id > this.#orderedRound) this.#session.send({ type: 'cancel', round: id });
    }
  }

  /** Tells it that something it sent has no effect. Gives whether the connection can stay: nobody errs for ever. */
  reject(code: RejectCode): boolean {
    this.#rejections += 1;
    this.#session.send({ type: 'rejected', code, message: rejections[code] });
    return this.#rejections < maxRejections;
  }

  /** Tells it why it cannot stay, and closes. */
  refuse(code: RejectCode, why: string): void {
    this.#session.send({ type: 'rejected', code, message: cutToText(`${rejections[code]} (${why})`) });
    this.#session.close(code, why);
  }

  close(code: RejectCode, reason: string): void {
    if (code === 'goodbye') this.#session.send({ type: 'goodbye', reason });
    this.#session.close(code, reason);
  }

  markLost(reason: string): void {
    invariant(this.#lost === null, `worker ${this.worker} was lost twice`);
    this.#lost = reason;
    this.#delivered.clear();
  }

  /** Null if it never was ready. */
  tally(nowMs: number): WorkerTally | null {
    if (this.#row === null) return null;
    return {
      row: this.#row,
      shardsComputed: this.#shardsComputed,
      hours: this.#hours.until(nowMs),
      lost: this.#lost,
    };
  }
}
