/** How often, and how fast, a worker that ended by itself is replaced. */
export interface RespawnLimits {
  /** Deaths longer ago than this no longer count: a run may last for months. */
  readonly windowMs: number;
  /** Replacements of one worker within the window. */
  readonly perWindow: number;
  /** Before the second replacement within the window; each further one waits twice as long. */
  readonly backoffMs: number;
  readonly longestBackoffMs: number;
}

/**
 * The first replacement comes at once; one worker that dies at every start is given up after some ten seconds of
 * waiting: 0.5 + 1 + 2 + 4 s, and the time of its starts.
 */
export const defaultRespawnLimits: RespawnLimits = {
  windowMs: 600_000,
  perWindow: 5,
  backoffMs: 500,
  longestBackoffMs: 30_000,
};

export interface RespawnDecision {
  /** When the worker died, oldest first: what the next decision needs. */
  readonly deaths: readonly number[];
  /** How long to wait before it is replaced; null to give it up. */
  readonly delayMs: number | null;
}

/** What to do about a worker that died now. @param deaths of the decision before */
export function afterDeath(
  deaths: readonly number[],
  nowMs: number,
  { windowMs, perWindow, backoffMs, longestBackoffMs }: RespawnLimits,
): RespawnDecision {
  const recent = [...deaths.filter((timeMs) => nowMs - timeMs < windowMs), nowMs];
  if (recent.length > perWindow) return { deaths: recent, delayMs: null };
  const delayMs = recent.length === 1 ? 0 : Math.min(longestBackoffMs, backoffMs * 2 ** (recent.length - 2));
  return { deaths: recent, delayMs };
}
