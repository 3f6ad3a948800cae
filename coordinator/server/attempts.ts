import type { Clock } from '../../shared/clock.js';
import { oneLine } from '../../shared/one-line.js';
import type { CloseCode } from '../../shared/transport/connection.js';

/** Why someone was turned away: a reason of the protocol, or one from before it is spoken. */
export type AttemptCode =
  | CloseCode
  | 'no_tls'
  /** The bytes were no HTTP, or did not open a WebSocket. */
  | 'no_websocket'
  /** A web page that is not on the list. */
  | 'origin_refused'
  /** More connections than one address may open. */
  | 'too_many_connections';

/** Someone who was turned away, and what was tried. */
export interface Attempt {
  readonly peer: string;
  readonly code: AttemptCode;
  /** For people; some of it may be the peer's own words. */
  readonly reason: string;
}

/** Attempts that are told one by one, and again after each summary. */
const toldSingly = 10;
const summaryMs = 60_000;

/**
 * Tells people who was turned away, and why. A flood cannot fill a log: after a few attempts the others are counted,
 * and told in one line a minute.
 */
export class Attempts {
  readonly #clock: Clock;
  readonly #tell: (line: string) => void;
  readonly #counts = new Map<AttemptCode, number>();
  #told = 0;
  #lastPeer = '';
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, tell: (line: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  add({ peer, code, reason }: Attempt): void {
    this.#cancel ??= this.#clock.after(summaryMs, () => this.#summarize());
    if (this.#told < toldSingly) {
      this.#told += 1;
      this.#tell(`turned away ${peer} (${code}): ${oneLine(reason)}`);
      return;
    }
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    this.#lastPeer = peer;
  }

  /** Tells what has not been told yet. */
  close(): void {
    this.#cancel?.();
    this.#summarize();
  }

  #summarize(): void {
    this.#cancel = null;
    this.#told = 0;
    if (this.#counts.size === 0) return;
    const codes = [...this.#counts].map(([code, count]) => `${count} × ${code}`).join(', ');
    this.#tell(`turned away more: ${codes}; the last was ${this.#lastPeer}`);
    this.#counts.clear();
  }
}
