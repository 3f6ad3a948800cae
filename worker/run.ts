import { hostname } from 'node:os';
import type { BackendChoice } from '../shared/backends.js';
import { systemClock } from '../shared/clock.js';
import { withoutMarkingInSteps } from '../shared/marking-in-steps.js';
import { peerLimits } from '../shared/transport/connection.js';
import type { SharedMemory } from '../shared/transport/shared-memory.js';
import { ComputeHost } from './compute-host.js';
import { connect } from './connect.js';
import { liveAsWorker } from './life.js';

export interface WorkerOptions {
  /** `ws://HOST:PORT`, `wss://HOST:PORT` or `ws+unix:PATH`. */
  readonly url: string;
  readonly token: string;
  /** Overrides what the coordinator asks for; the run's fingerprint decides whether it is accepted. */
  readonly backend: BackendChoice;
  /** Default: what the coordinator asks for. */
  readonly threads?: number;
  /** The worker's own copy of the job file, for jobs with code of their own. */
  readonly job: string | null;
  /** PEM of the certificate authority of a `wss` URL. */
  readonly ca?: string;
  /** Shared with the coordinator, if that started this process. */
  readonly memory?: SharedMemory;
  /** Leaves when aborted: the order being computed is finished first. */
  readonly signal?: AbortSignal;
  /** How long to go on trying while nobody listens at the URL. Default 60 s. */
  readonly joinMs?: number;
  /** The largest weights or shard to take from a coordinator. Default 2 GiB. */
  readonly maxMessageBytes?: number;
  /** How long to go on trying when a coordinator was lost; 0 ends the worker with its connection. Default 10 min. */
  readonly rejoinMs?: number;
  /** A coordinator that says nothing for so long is lost. Default 2 min. */
  readonly silenceMs?: number;
  /** Told the number that it was given, with each connection. */
  readonly onJoined?: (worker: number) => void;
  /** One line for the person who watches. */
  readonly write: (line: string) => void;
}

/**
 * Joins a coordinator and computes shards until it says goodbye, or until `signal` is aborted. It joins again when the
 * connection is lost.
 * @throws LockstepError AUTH_FAILED, PROTOCOL_VERSION, CONNECTION_LOST, or what the coordinator refused it for
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { url, token, ca, memory, joinMs = 60_000, rejoinMs = 600_000 } = options;
  const { maxMessageBytes = peerLimits.maxPayloadBytes } = options;
  const markInSteps = withoutMarkingInSteps();
  // The weights and data of the present round, of one sent ahead, and of one that is over.
  const thread = new ComputeHost({ maxHeldBytes: 3 * maxMessageBytes });
  try {
    await liveAsWorker({
      connect: () => connect({ url, token, ca, memory }),
      clock: systemClock,
      thread,
      random: Math.random,
      limits: { joinMs, rejoinMs },
      pid: process.pid,
      host: hostname(),
      ...options,
    });
  } finally {
    if (!(await thread.stop())) endNow();
    markInSteps();
  }
}

/** A kernel of native code that does not return hears nothing, and an orderly exit would wait for it. */
function endNow(): void {
  process.stderr.write(`worker ${process.pid}: a computation does not end; the process is killed\n`);
  process.kill(process.pid, 'SIGKILL');
}
