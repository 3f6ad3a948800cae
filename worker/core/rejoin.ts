import { assertNever } from '../../shared/errors.js';

export interface RejoinLimits {
  /** How long to look for a coordinator that was never there. */
  readonly joinMs: number;
  /** How long to look for one that was lost; 0 is not at all. */
  readonly rejoinMs: number;
}

/** A worker between and within its incarnations. */
export type Presence =
  | {
      readonly phase: 'away';
      /** Since when there is no connection. */
      readonly sinceMs: number;
      /** Since when there was none that lasted, later by all the time that there was one. */
      readonly restlessSinceMs: number;
      readonly patienceMs: number;
    }
  | { readonly phase: 'here'; readonly sinceMs: number; readonly restlessSinceMs: number };

export type PresenceInput =
  /** A coordinator has authenticated, and was authenticated. */
  | { readonly type: 'joined' }
  /** The connection ended, without a word that the worker is not wanted. */
  | { readonly type: 'lost' }
  /** Nobody answered, or not to the end of the handshake. */
  | { readonly type: 'missed' };

export type PresenceDecision =
  | { readonly next: 'serve' }
  /** Try again after as much of `delayMs` as chance says. */
  | { readonly next: 'retry'; readonly delayMs: number }
  | { readonly next: 'give-up' };

/** Attempts come no faster and no slower than this. */
const minDelayMs = 100;
const maxDelayMs = 10_000;

/** A connection that held for so long has proved that the next one is worth a quick attempt. */
const lastingMs = 10_000;

export function setOut(nowMs: number, { joinMs }: RejoinLimits): Presence {
  return { phase: 'away', sinceMs: nowMs, restlessSinceMs: nowMs, patienceMs: joinMs };
}

/** Decides whether and when a worker looks for its coordinator again: total and pure. */
export function decide(
  presence: Presence,
  input: PresenceInput,
  nowMs: number,
  { rejoinMs }: RejoinLimits,
): readonly [Presence, PresenceDecision] {
  const { restlessSinceMs } = presence;
  switch (input.type) {
    case 'joined':
      return [{ phase: 'here', sinceMs: nowMs, restlessSinceMs }, { next: 'serve' }];
    case 'lost': {
      const heldMs = presence.phase === 'here' ? nowMs - presence.sinceMs : 0;
      const away = {
        phase: 'away' as const,
        sinceMs: nowMs,
        restlessSinceMs: heldMs >= lastingMs ? nowMs : restlessSinceMs + heldMs,
        patienceMs: rejoinMs,
      };
      return [away, rejoinMs === 0 ? { next: 'give-up' } : retry(away, nowMs)];
    }
    case 'missed':
      return [presence, retry(presence, nowMs)];
    default:
      return assertNever(input);
  }
}

/**
 * Exponential backoff: a quarter of the time without a connection. So however long the coordinator takes, the worker is
 * back at most a quarter later, or ten seconds.
 */
function retry(presence: Presence, nowMs: number): PresenceDecision {
  const delayMs = Math.min(Math.max((nowMs - presence.restlessSinceMs) / 4, minDelayMs), maxDelayMs);
  const isOver = presence.phase === 'away' && nowMs + delayMs - presence.sinceMs > presence.patienceMs;
  return isOver ? { next: 'give-up' } : { next: 'retry', delayMs };
}
