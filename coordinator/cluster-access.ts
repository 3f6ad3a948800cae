import { pino } from 'pino';
import { FaultInjection } from '../chaos/injection.js';
import { systemClock } from '../shared/clock.js';
import type { ClusterOptions } from './cluster.js';
import { Conductor } from './conductor.js';
import type { ConductorOptions } from './conductor-options.js';
import { defaultLimits, type RunLimits } from './core/run.js';
import type { RunListener } from './events.js';
import { followedBy } from './injected-faults.js';
import { RunListeners } from './run-listeners.js';

/** How a cluster lets a model be trained; for the parts of Lockstep, not for its users. */
export interface ClusterAccess {
  readonly conductor: Conductor;
  readonly workers: number;
  readonly joinTimeoutMs: number;
  readonly options: ClusterOptions;
  readonly emit: RunListener;
  /** Null unless the cluster runs under a fault plan. */
  readonly faults: FaultInjection | null;
  /** Sets who else hears of events until the returned function is called. */
  subscribe(listener: RunListener): () => void;
}

const silent = pino({ level: 'silent' });

/** What a cluster's workers are reached by, before it listens for any. */
export function createAccess(
  options: ClusterOptions,
  workers: number,
  {
    joinTimeoutMs,
    withoutWorkersMs,
    ...conducting
  }: {
    joinTimeoutMs: number;
    withoutWorkersMs: number;
    /** Others than the usual ones. */
    limits?: Partial<RunLimits>;
  } & Pick<ConductorOptions, 'othersMayCome' | 'onSentAway'>,
): ClusterAccess {
  const faults = options.faults === undefined ? null : new FaultInjection(options.faults);
  const { emit, subscribe } = new RunListeners(
    ...(faults === null ? [] : [followedBy(faults)]),
    ...(options.onEvent === undefined ? [] : [options.onEvent]),
  );
  const sayIfNoneIsLeft = (): void => {
    if (conductor.isStopped || conductor.readyCount > 0) return;
    const reason = `no worker is left: waiting for one to be ready, for at most ${withoutWorkersMs / 1_000} s`;
    emit({ type: 'waiting', reason });
  };
  const conductor = new Conductor({
    clock: systemClock,
    limits: { ...defaultLimits, withoutWorkersMs, ...conducting.limits },
    onEvent(event) {
      emit(event);
      // The conductor takes the worker out after it has told of it.
      if (event.type === 'worker-lost') queueMicrotask(sayIfNoneIsLeft);
    },
    log: silent,
    othersMayCome: conducting.othersMayCome,
    ...(conducting.onSentAway === undefined ? {} : { onSentAway: conducting.onSentAway }),
    allowMixed: options.allowMixed ?? false,
    ...(faults === null ? {} : { onPoint: faults.onPoint }),
  });
  return {
    conductor,
    faults,
    workers,
    joinTimeoutMs,
    options,
    emit,
    subscribe,
  };
}
