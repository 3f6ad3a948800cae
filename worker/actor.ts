import { type BackendChoice, satisfies } from '../shared/backends.js';
import type { Clock } from '../shared/clock.js';
import { assertNever, LockstepError } from '../shared/errors.js';
import { type RejectCode, rejections } from '../shared/protocol/reject.js';
import type { WorkerSession } from '../shared/protocol/session.js';
import { decodeShardData } from '../shared/protocol/tensor-payload.js';
import type { ToWorker, ToWorkerOf } from '../shared/protocol/to-worker.js';
import { peerLimits } from '../shared/transport/connection.js';
import {
  presentOrder,
  transition,
  type WorkerEnding,
  type WorkerInput,
  type WorkerState,
} from './core/machine.js';
import { type ModelShape, misfitOfData, misfitOfWeights } from './model-shape.js';
import { sendResult } from './send-result.js';
import type { FromThread } from './thread-messages.js';
import type { ThreadBreak, ThreadPort } from './thread-port.js';

export interface WorkerActorOptions {
  readonly session: WorkerSession;
  readonly clock: Clock;
  readonly thread: ThreadPort;
  /** Overrides what the coordinator asks for. */
  readonly backend: BackendChoice;
  /** Compute threads. Default: what the coordinator asks for. */
  readonly threads?: number | undefined;
  /** The worker's own copy of the job file. */
  readonly job: string | null;
  /** Where it computes, for the coordinator's table of workers. */
  readonly pid: number;
  readonly host: string;
  /** A coordinator that sends a larger payload, or leaves more unread, is left. Default 2 GiB. */
  readonly maxMessageBytes?: number | undefined;
  /** A coordinator that says nothing for so long is gone. Default `coordinatorSilenceMs`. */
  readonly silenceMs?: number | undefined;
  /** One line for the person who watches. */
  readonly write: (line: string) => void;
}

/**
 * A coordinator says something every second, unless a callback of the job holds it up without giving way. Then its
 * workers' new connections are let in when it is done.
 */
export const coordinatorSilenceMs = 120_000;

/**
 * One incarnation of a worker: it moves messages between coordinator and compute thread, and keeps heartbeats going.
 * It computes nothing and waits for nothing, so it never stops for long.
 */
export class WorkerActor {
  /** Resolves, once, when the incarnation is over; its thread may still compute. Never rejects. */
  readonly done: Promise<WorkerEnding>;
  readonly #options: WorkerActorOptions;
  readonly #session: WorkerSession;
  readonly #thread: ThreadPort;
  readonly #stopWatch: () => void;
  #state: WorkerState = { phase: 'connecting' };
  #stopHeartbeat: (() => void) | null = null;
  /** What it has built; null before the first program and while another is built. Until then no payload has a place. */
  #model: ModelShape | null = null;
  #computing: { round: number; shard: number } | null = null;
  /** The last rejection: it says more than the reason with which a connection closes. */
  #refusal: string | null = null;
  #failure: LockstepError | null = null;
  #threads = 1;
  #heardMs: number;
  #settle: (ending: WorkerEnding) => void = () => {};

  constructor(options: WorkerActorOptions) {
    const { session, thread, clock } = options;
    this.#options = options;
    this.#session = session;
    this.#thread = thread;
    this.#heardMs = clock.nowMs();
    this.done = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const { silenceMs = coordinatorSilenceMs } = options;
    this.#stopWatch = clock.every(Math.min(silenceMs, 1_000), () => this.#watch(silenceMs));
    session.onMessage((message, payload) => this.#receive(message, payload));
    void session.closed.then((info) => {
      this.#step({ type: 'closed', info: { ...info, reason: this.#refusal ?? info.reason } });
    });
    this.#step({ type: 'connected' });
    thread.attach({
      onAnswer: (answer) => this.#answer(answer),
      onBroken: (cause, reason) => this.#break(cause, reason),
      onOverload: (reason) => this.#leaveFalse('oversize', reason),
    });
  }

  /** The last error of the compute thread: the reason, if the coordinator sends the worker away for one. */
  get failure(): LockstepError | null {
    return this.#failure;
  }

  /** Leaves once the order being computed is finished. */
  leave(reason: string): void {
    this.#step({ type: 'leave', reason });
  }

  #step(input: WorkerInput): void {
    const [state, effects] = transition(this.#state, input);
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'say-goodbye') {
        this.#session.send({ type: 'goodbye', reason: effect.reason });
        this.#session.close('goodbye', effect.reason);
      } else {
        this.#stopWatch();
        this.#stopHeartbeat?.();
        this.#thread.detach();
        this.#settle(effect.ending);
      }
    }
  }

  #receive(message: ToWorker, payload: Uint8Array): void {
    if (this.#state.phase === 'stopped') return;
    this.#heardMs = this.#options.clock.nowMs();
    const buffer = payload.buffer as ArrayBuffer;
    switch (message.type) {
      case 'setup':
        return this.#setup(message);
      case 'weights': {
        if (this.#model === null) return this.#leaveFalse('out_of_order', 'weights for no model');
        const misfit = misfitOfWeights(this.#model, payload.byteLength);
        if (misfit !== null) return this.#leaveFalse('invalid_message', misfit);
        const flat = new Float32Array(buffer, payload.byteOffset, payload.byteLength / 4);
        return this.#thread.post({ type: 'weights', flat }, [buffer]);
      }
      case 'data': {
        const { round, shard, tensors } = message;
        const data = decodeShardData(tensors, payload);
        if (this.#model === null) return this.#leaveFalse('out_of_order', 'data for no model');
        const misfit = misfitOfData(this.#model, data);
        if (misfit !== null) return this.#leaveFalse('invalid_message', misfit);
        return this.#thread.post({ type: 'data', round, shard, data }, buffer.byteLength > 0 ? [buffer] : []);
      }
      case 'compute': {
        const { round, lo, hi } = message;
        if (this.#model === null) return this.#leaveFalse('out_of_order', 'an order for no model');
        this.#step({ type: 'ordered', order: { round, lo, hi } });
        return this.#thread.post({ type: 'compute', compute: message });
      }
      case 'cancel':
        this.#step({ type: 'cancelled', round: message.round });
        return this.#thread.post({ type: 'cancel', round: message.round });
      case 'heartbeat':
        return;
      case 'rejected':
        this.#refusal = message.message;
        // The worker's own error says it better.
        if (message.code === 'failed') return;
        return this.#options.write(`the coordinator rejected a message: ${message.message}`);
      case 'goodbye':
        return this.#step({ type: 'dismissed', reason: message.reason });
      default:
        return assertNever(message);
    }
  }

  #setup(message: ToWorkerOf<'setup'>): void {
    const { backend, threads = message.threads, job, clock } = this.#options;
    this.#model = null;
    this.#limitPayloads(0);
    const setup = {
      ...message,
      threads,
      backend: satisfies(backend, message.backend) ? message.backend : backend,
    };
    this.#threads = threads;
    this.#thread.post({ type: 'setup', setup, jobPath: job });
    this.#stopHeartbeat?.();
    this.#stopHeartbeat = clock.every(message.heartbeatMs, () => this.#beat());
  }

  /** @param maxPayloadBytes of a message of the coordinator */
  #limitPayloads(maxPayloadBytes: number): void {
    this.#session.setLimits({ ...peerLimits, maxPayloadBytes, maxBufferedBytes: this.#maxMessageBytes });
  }

  get #maxMessageBytes(): number {
    return this.#options.maxMessageBytes ?? peerLimits.maxPayloadBytes;
  }

  /** Ends the connection to a coordinator that sends what no coordinator of ours does. */
  #leaveFalse(code: RejectCode, what: string): void {
    const reason = `${rejections[code]} (${what})`;
    this.#session.close(code, reason);
    this.#step({ type: 'closed', info: { code, reason, by: 'us' } });
  }

  #watch(silenceMs: number): void {
    if (this.#options.clock.nowMs() - this.#heardMs < silenceMs) return;
    const reason = `the coordinator has said nothing for ${silenceMs / 1_000} s`;
    this.#session.close('silent', reason);
    this.#step({ type: 'closed', info: { code: 'silent', reason, by: 'us' } });
  }

  #beat(): void {
    const computing =
      this.#state.phase === 'computing' || this.#state.phase === 'draining' ? this.#computing : null;
    const state =
      computing === null ? { phase: 'idle' as const } : { phase: 'computing' as const, ...computing };
    this.#session.send({ type: 'heartbeat', state });
  }

  #answer(answer: FromThread): void {
    switch (answer.type) {
      case 'ready': {
        const { pid, host } = this.#options;
        const about = { threads: this.#threads, pid, host };
        const { model, ...ready } = answer;
        this.#model = model;
        this.#limitPayloads(this.#maxMessageBytes);
        return this.#session.send({ ...ready, ...about });
      }
      case 'computing':
        this.#computing = { round: answer.round, shard: answer.shard };
        return;
      case 'partial':
      case 'outputs':
        return sendResult(this.#session, answer);
      case 'reset':
        return;
      case 'finished':
        return this.#step({ type: 'finished', order: answer.order });
      case 'failed': {
        const { code, message, hint } = answer;
        this.#failure = new LockstepError(code, message, { hint });
        return this.#session.send(answer);
      }
      default:
        return assertNever(answer);
    }
  }

  #break(cause: ThreadBreak, reason: string): void {
    if (cause === 'memory') {
      const order = presentOrder(this.#state);
      const shard = this.#computing?.round === order?.round ? (this.#computing?.shard ?? null) : null;
      const message = 'the compute thread ran out of memory';
      const hint = 'Raise --shards, so that each shard is smaller, or lower --batch-size.';
      const code = 'WORKER_OUT_OF_MEMORY';
      this.#session.send({ type: 'failed', order, shard, code, message, hint });
    }
    this.#session.close('failed', reason);
    this.#step({ type: 'broken', reason });
  }
}
