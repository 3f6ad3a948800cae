import type { RunState } from './run.js';

/** What the run waits for, for people: null when it waits for nothing. */
export function waitingFor(state: RunState, nowMs: number): string | null {
  if (state.phase !== 'working') return null;
  if (state.withoutWorkersSinceMs !== null) {
    const seconds = ((nowMs - state.withoutWorkersSinceMs) / 1000).toFixed(1);
    return `waiting for a worker to be ready (${state.members.size} preparing, ${seconds} s)`;
  }
  const { round } = state;
  for (const [shard, status] of round.statuses.entries()) {
    if (status.status !== 'assigned') continue;
    const seconds = ((nowMs - status.sinceMs) / 1000).toFixed(1);
    return `waiting for worker ${status.worker}: shard ${shard} of round ${round.spec.id}, ${seconds} s`;
  }
  return `waiting for a free worker for round ${round.spec.id}`;
}
