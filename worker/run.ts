import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../shared/clock.js';
import { LockstepError } from '../shared/errors.js';
import { withoutMarkingInSteps } from '../shared/marking-in-steps.js';
import type { WorkerSession } from '../shared/protocol/session.js';
import { WorkerActor } from './actor.js';
import type { BackendName } from './backend/select.js';
import { ComputeHost } from './compute-host.js';
import { connect } from './connect.js';

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
  /** The largest weights or shard to take from a coordinator. Default 2 GiB. */
  readonly maxMessageBytes?: number;
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
  const thread = new ComputeHost();
  try {
    await serve(session, thread, options);
  } finally {
    await thread.stop();
    markInSteps();
  }
}

async function serve(session: WorkerSession, thread: ComputeHost, options: WorkerOptions): Promise<void> {
  const { backend, threads, job, write, signal, maxMessageBytes } = options;
  const place = { pid: process.pid, host: hostname() };
  const actor = new WorkerActor({
    ...{ session, clock: systemClock, thread, backend, threads, job, write, maxMessageBytes },
    ...place,
  });
  const leave = (): void => actor.leave('asked to leave');
  signal?.addEventListener('abort', leave, { once: true });
  if (signal?.aborted) leave();
  const ending = await actor.done;
  signal?.removeEventListener('abort', leave);
  if (ending.how === 'dismissed' || ending.how === 'left') return;
  // What it reported itself says why it was sent away.
  if (ending.how === 'refused' && ending.code === 'failed' && actor.failure !== null) throw actor.failure;
  if (ending.how === 'broken' && actor.failure !== null) throw actor.failure;
  const hint = 'Look at the coordinator: it says why, or it has ended.';
  throw new LockstepError('CONNECTION_LOST', ending.reason, { hint });
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
