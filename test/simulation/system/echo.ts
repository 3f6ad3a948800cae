import type { Line } from './line.js';
import type { SentPartial } from './sent-partial.js';

/** A partial as it was sent. */
export interface Recording {
  readonly body: SentPartial & { readonly term?: number; readonly incarnation?: number };
  readonly payload: Uint8Array;
}

interface ComputeOrder {
  readonly term: number;
  readonly incarnation: number;
  readonly message: {
    readonly type: string;
    readonly round: number;
    readonly lo: number;
    readonly hi: number;
  };
}

/** Recordings kept; enough for the first steps of a coordinator. */
const capacity = 60;

/**
 * A recorded session, replayed: once it is on, an order is answered at once with what was sent for the same round,
 * shards and incarnation of an earlier coordinator. Nothing but the term tells the two apart.
 */
export class Echo {
  isOn = false;
  readonly #recordings: Recording[] = [];

  record(recording: Recording): void {
    if (this.#recordings.length < capacity) this.#recordings.push(recording);
  }

  answer(line: Line, body: unknown): void {
    if (!this.isOn) return;
    const { term, incarnation, message } = body as ComputeOrder;
    if (message?.type !== 'compute') return;
    for (const { body: sent, payload } of this.#recordings) {
      const { round, lo, hi } = sent.message;
      const isOld = sent.term !== term && sent.incarnation === incarnation;
      if (isOld && round === message.round && message.lo <= lo && hi <= message.hi) {
        line.ends[1].send(sent, [payload]);
      }
    }
  }
}
