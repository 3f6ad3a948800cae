import type { Clock } from '../shared/clock.js';
import { type ErrorCode, LockstepError } from '../shared/errors.js';
import type { WorkerSession } from '../shared/protocol/session.js';
import { WorkerActor, type WorkerActorOptions } from './actor.js';
import type { WorkerEnding } from './core/machine.js';
import { decide, type Presence, type PresenceInput, type RejoinLimits, setOut } from './core/rejoin.js';

export interface WorkerLifeOptions extends Omit<WorkerActorOptions, 'session'> {
  /** Connects and authenticates. @throws LockstepError */
  readonly connect: () => Promise<WorkerSession>;
  /** The coordinator's address, for people. */
  readonly url: string;
  readonly limits: RejoinLimits;
  /** Uniform in [0, 1): spreads the attempts of many workers. */
  readonly random: () => number;
  /** Told the number that it was given, with each connection. */
  readonly onJoined?: ((worker: number) => void) | undefined;
  /** Leaves when aborted: the order being computed is finished first. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Joins a coordinator, computes, and joins again whenever the connection is lost, as a new incarnation each time. The
 * compute thread and all that it has loaded stay. Resolves when the coordinator says goodbye, or once it has left.
 * @throws LockstepError AUTH_FAILED, PROTOCOL_VERSION; CONNECTION_LOST when no coordinator was found in time, or
 * with the reason for which it was refused; what its compute thread failed with
 */
export async function liveAsWorker(options: WorkerLifeOptions): Promise<void> {
  const { clock, limits, random, signal, url, write } = options;
  let presence: Presence = setOut(clock.nowMs(), limits);
  /** Why the last connection ended; null before the first. */
  let lost: string | null = null;
  let isAwaited = false;
  while (!signal?.aborted) {
    const { session, error } = await attemptToJoin(options);
    if (session !== null) {
      [presence] = decide(presence, { type: 'joined' }, clock.nowMs(), limits);
      isAwaited = false;
      write(`joined ${url} as worker ${session.identity.worker}`);
      options.onJoined?.(session.identity.worker);
      lost = await serve(session, options);
      if (lost === null) return;
    }
    const input: PresenceInput = { type: session === null ? 'missed' : 'lost' };
    const [next, decision] = decide(presence, input, clock.nowMs(), limits);
    presence = next;
    if (decision.next !== 'retry') throw gaveUp(lost, error, options);
    if (session !== null) write(`the connection was lost (${lost}); joining again`);
    else if (!isAwaited) write(`waiting for a coordinator at ${url} (${error.message})`);
    isAwaited = session === null;
    await pause(clock, decision.delayMs * (0.5 + random() / 2), signal);
  }
}

type Attempt =
  | { readonly session: WorkerSession; readonly error: null }
  /** Nobody answered, or not to the end of the handshake. */
  | { readonly session: null; readonly error: LockstepError };

async function attemptToJoin({ connect }: WorkerLifeOptions): Promise<Attempt> {
  try {
    return { session: await connect(), error: null };
  } catch (error) {
    const isPassing = error instanceof LockstepError && passing.has(error.code);
    if (!isPassing) throw error;
    return { session: null, error };
  }
}

/** What another attempt may not meet again. */
const passing: ReadonlySet<ErrorCode> = new Set(['CONNECTION_LOST', 'PEER_MISBEHAVED']);

function gaveUp(
  lost: string | null,
  error: LockstepError | null,
  { limits, url }: WorkerLifeOptions,
): LockstepError {
  if (error === null || lost === null) return error ?? connectionLost(lost ?? 'there was no connection');
  return connectionLost(`${lost}; then no coordinator at ${url} for ${limits.rejoinMs / 1_000} s`);
}

/** One incarnation. Gives why the connection was lost, or null if the worker's work is over. @throws LockstepError */
async function serve(session: WorkerSession, options: WorkerLifeOptions): Promise<string | null> {
  const { signal } = options;
  const actor = new WorkerActor({ ...options, session });
  const leave = (): void => actor.leave('asked to leave');
  signal?.addEventListener('abort', leave, { once: true });
  if (signal?.aborted) leave();
  const ending = await actor.done;
  signal?.removeEventListener('abort', leave);
  switch (ending.how) {
    case 'dismissed':
    case 'left':
      return null;
    case 'lost':
      return signal?.aborted ? null : ending.reason;
    case 'refused':
    case 'broken':
      throw reasonOf(ending, actor.failure);
  }
}

/** What the compute thread reported itself says best why a worker was sent away. */
function reasonOf(
  ending: WorkerEnding & { how: 'refused' | 'broken' },
  failure: LockstepError | null,
): LockstepError {
  const isOwn = ending.how === 'broken' || ending.code === 'failed';
  return isOwn && failure !== null ? failure : connectionLost(ending.reason);
}

function connectionLost(reason: string): LockstepError {
  return new LockstepError('CONNECTION_LOST', reason, {
    hint: 'Look at the coordinator: it says why, or it has ended.',
  });
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(delayMs, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}
