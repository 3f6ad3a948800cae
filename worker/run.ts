import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertNever, LockstepError, messageOf } from '../shared/errors.js';
import { withoutMarkingInSteps } from '../shared/marking-in-steps.js';
import { encodePartial } from '../shared/protocol/partial-payload.js';
import type { WorkerSession } from '../shared/protocol/session.js';
import { decodeShardData, encodeTensors } from '../shared/protocol/tensor-payload.js';
import type { ToWorker, ToWorkerOf } from '../shared/protocol/to-worker.js';
import { setBackendEnvironment } from './backend/environment.js';
import type { BackendName } from './backend/select.js';
import { connect } from './connect.js';
import { transition, type WorkerInput, type WorkerState } from './core/machine.js';
import { ComputeThread } from './thread.js';
import type { FromThread } from './thread-messages.js';

export interface WorkerOptions {
  /** `ws://HOST:PORT`, `wss://HOST:PORT` or `ws+unix:PATH`. */
  readonly url: string;
  readonly token: string;
  /** Overrides what the coordinator asks for; the run's fingerprint decides whether it is accepted. */
  readonly backend: BackendName | 'auto';
  /** Default: what the coordinator asks for. */
  readonly threads?: number;
  /** The worker's own copy of the job file, for jobs with code of their own. */
  readonly job: string | null;
  /** PEM of the certificate authority of a `wss` URL. */
  readonly ca?: string;
  /** Leaves when aborted: the order being computed is finished first. */
  readonly signal?: AbortSignal;
  /** How long to go on trying while nobody listens at the URL. Default 60 s. */
  readonly joinMs?: number;
  /** One line for the person who watches. */
  readonly write: (line: string) => void;
}

/**
 * Joins a coordinator and computes shards until it says goodbye, or until `signal` is aborted.
 * @throws LockstepError AUTH_FAILED, PROTOCOL_VERSION, CONNECTION_LOST, or what the coordinator refused it for
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const session = await join(options);
  options.write(`joined ${options.url} as worker ${session.identity.worker}`);
  const markInSteps = withoutMarkingInSteps();
  try {
    await new WorkerActor(session, options).done;
  } finally {
    markInSteps();
  }
}

/** Tries until the coordinator listens: workers and coordinator may be started in any order. */
async function join({
  url,
  token,
  ca,
  signal,
  joinMs = 60_000,
  write,
}: WorkerOptions): Promise<WorkerSession> {
  const deadlineMs = performance.now() + joinMs;
  for (let delayMs = 100; ; delayMs = Math.min(2 * delayMs, 3_000)) {
    try {
      return await connect({ url, token, ca });
    } catch (error) {
      const isAbsent = error instanceof LockstepError && error.code === 'CONNECTION_LOST';
      if (!isAbsent || signal?.aborted || performance.now() + delayMs > deadlineMs) throw error;
      if (delayMs === 100) write(`waiting for a coordinator at ${url} (${error.message})`);
      await sleep(delayMs, undefined, { signal });
    }
  }
}

/** A coordinator says something every second, unless a callback holds it up; one that is silent so long is gone. */
const coordinatorSilenceMs = 300_000;

/** The worker's I/O: it moves messages between coordinator and compute thread, and keeps heartbeats going. */
class WorkerActor {
  /** Settles when the worker has left and its thread has ended. */
  readonly done: Promise<void>;
  readonly #session: WorkerSession;
  readonly #options: WorkerOptions;
  #state: WorkerState = { phase: 'connecting' };
  #thread: ComputeThread | null = null;
  #heartbeat: NodeJS.Timeout | null = null;
  #computing: { round: number; shard: number } | null = null;
  #refusal: string | null = null;
  /** The last error of the compute thread: the reason, if the coordinator sends the worker away for one. */
  #failure: LockstepError | null = null;
  #threads = 1;
  #heardMs = performance.now();
  #settle: { resolve: () => void; reject: (error: Error) => void } = { resolve() {}, reject() {} };

  constructor(session: WorkerSession, options: WorkerOptions) {
    this.#session = session;
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    session.onMessage((message, payload) => this.#receive(message, payload));
    void session.closed.then(({ code, reason }) => {
      if (code !== 'failed') this.#failure = null;
      if (code === 'goodbye') this.#step({ type: 'dismissed', reason });
      else this.#step({ type: 'broken', reason: this.#refusal ?? reason });
    });
    const leave = (): void => this.#step({ type: 'leave', reason: 'asked to leave' });
    options.signal?.addEventListener('abort', leave, { once: true });
    this.#step({ type: 'connected' });
    if (options.signal?.aborted) leave();
  }

  #step(input: WorkerInput): void {
    const [state, effects] = transition(this.#state, input);
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'say-goodbye') {
        this.#session.send({ type: 'goodbye', reason: effect.reason });
        this.#session.close('goodbye', effect.reason);
      } else void this.#stop(effect.reason, effect.failed);
    }
  }

  async #stop(reason: string, failed: boolean): Promise<void> {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    await this.#thread?.stop();
    if (!failed) return this.#settle.resolve();
    const hint = 'Look at the coordinator: it says why, or it has ended.';
    this.#settle.reject(this.#failure ?? new LockstepError('CONNECTION_LOST', reason, { hint }));
  }

  #receive(message: ToWorker, payload: Uint8Array): void {
    this.#heardMs = performance.now();
    const buffer = payload.buffer as ArrayBuffer;
    switch (message.type) {
      case 'setup':
        return this.#setup(message);
      case 'weights': {
        const flat = new Float32Array(buffer, payload.byteOffset, payload.byteLength / 4);
        return this.#thread?.post({ type: 'weights', flat }, [buffer]);
      }
      case 'data': {
        const { round, shard, tensors } = message;
        const data = decodeShardData(tensors, payload);
        return this.#thread?.post(
          { type: 'data', round, shard, data },
          buffer.byteLength > 0 ? [buffer] : [],
        );
      }
      case 'compute': {
        const { round, lo, hi } = message;
        this.#step({ type: 'ordered', order: { round, lo, hi } });
        return this.#thread?.post({ type: 'compute', compute: message });
      }
      case 'cancel':
        this.#step({ type: 'cancelled', round: message.round });
        return this.#thread?.post({ type: 'cancel', round: message.round });
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
    const { backend, threads = message.threads, job } = this.#options;
    const setup = { ...message, threads, backend: backend === 'auto' ? message.backend : backend };
    if (this.#thread === null) {
      setBackendEnvironment(threads);
      this.#threads = threads;
      this.#thread = new ComputeThread({
        onMessage: (answer) => this.#answer(answer),
        onBroken: (cause, reason) => this.#break(cause, reason),
      });
    }
    this.#thread.post({ type: 'setup', setup, jobPath: job });
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#beat(), message.heartbeatMs);
  }

  #beat(): void {
    if (performance.now() - this.#heardMs > coordinatorSilenceMs) {
      const reason = `the coordinator has said nothing for ${coordinatorSilenceMs / 1_000} s`;
      this.#session.close('silent', reason);
      return this.#step({ type: 'broken', reason });
    }
    const computing =
      this.#state.phase === 'computing' || this.#state.phase === 'draining' ? this.#computing : null;
    const state =
      computing === null ? { phase: 'idle' as const } : { phase: 'computing' as const, ...computing };
    this.#session.send({ type: 'heartbeat', state });
  }

  #answer(answer: FromThread): void {
    switch (answer.type) {
      case 'ready': {
        const { manifestHash, fingerprint } = answer;
        const { pid } = process;
        const threads = this.#threads;
        return this.#session.send({
          type: 'ready',
          manifestHash,
          fingerprint,
          threads,
          pid,
          host: hostname(),
        });
      }
      case 'computing':
        this.#computing = { round: answer.round, shard: answer.shard };
        return;
      case 'partial': {
        const { round, lo, hi, computeMs, digests } = answer;
        const { sections, payload } = encodePartial(answer.partial);
        return this.#session.send({ type: 'partial', round, lo, hi, computeMs, sections, digests }, payload);
      }
      case 'outputs': {
        const { round, lo, hi, computeMs } = answer;
        const { tensors, payload } = encodeTensors(answer.tensors);
        return this.#session.send({ type: 'outputs', round, lo, hi, computeMs, tensors }, payload);
      }
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

  #break(cause: 'memory' | 'crash', reason: string): void {
    const computing = this.#computing;
    const { round, shard } = computing ?? { round: null, shard: null };
    if (cause === 'memory') {
      const message = 'the compute thread ran out of memory';
      const hint = 'Raise --shards, so that each shard is smaller, or lower --batch-size.';
      this.#session.send({ type: 'failed', round, shard, code: 'WORKER_OUT_OF_MEMORY', message, hint });
    }
    this.#session.close('failed', reason);
    this.#step({ type: 'broken', reason: messageOf(reason) });
  }
}
