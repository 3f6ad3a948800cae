import type { Clock } from '../../shared/clock.js';

/** Addresses that are remembered; beyond it the oldest are forgotten. */
const maxAddresses = 4_096;

export interface AddressRateLimits {
  /** Connections that one address may open at once… */
  readonly connectionsAtOnce: number;
  /** …and again as time passes. */
  readonly connectionsPerSecond: number;
}

/** How often each address opens connections: a token bucket per address. */
export class AddressRate {
  readonly #limits: AddressRateLimits;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { left: number; sinceMs: number }>();

  constructor(limits: AddressRateLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Counts a connection. False if it is one too many. */
  allows(address: string): boolean {
    const nowMs = this.#clock.nowMs();
    const { connectionsAtOnce, connectionsPerSecond } = this.#limits;
    const { left, sinceMs } = this.#buckets.get(address) ?? { left: connectionsAtOnce, sinceMs: nowMs };
    const refilled = Math.min(connectionsAtOnce, left + ((nowMs - sinceMs) / 1_000) * connectionsPerSecond);
    const isAllowed = refilled >= 1;
    this.#buckets.delete(address);
    this.#buckets.set(address, { left: isAllowed ? refilled - 1 : refilled, sinceMs: nowMs });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > maxAddresses && oldest !== undefined) this.#buckets.delete(oldest);
    return isAllowed;
  }
}
