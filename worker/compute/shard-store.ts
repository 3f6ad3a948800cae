import { LockstepError } from '../../shared/errors.js';
import type { ShardData } from '../../shared/program.js';

/** Rounds whose data may be held at a time: the present one, and one that was sent ahead. */
const maxRounds = 3;

/** The data of shards that was sent, until their round is over. */
export class ShardStore {
  readonly #rounds = new Map<number, Map<number, ShardData>>();

  /** @throws LockstepError PEER_MISBEHAVED if more rounds are sent ahead than the protocol allows */
  put(round: number, shard: number, data: ShardData): void {
    const shards = this.#rounds.get(round) ?? new Map<number, ShardData>();
    shards.set(shard, data);
    this.#rounds.set(round, shards);
    if (this.#rounds.size > maxRounds) {
      throw new LockstepError(
        'PEER_MISBEHAVED',
        `the coordinator sent data for ${this.#rounds.size} rounds ahead`,
        {
          hint: 'Use the same Lockstep version for coordinator and workers.',
        },
      );
    }
  }

  /** @throws LockstepError PEER_MISBEHAVED if the shard's data was not sent */
  get(round: number, shard: number): ShardData {
    const data = this.#rounds.get(round)?.get(shard);
    if (data === undefined) {
      throw new LockstepError('PEER_MISBEHAVED', `no data was sent for shard ${shard} of round ${round}`, {
        hint: 'Use the same Lockstep version for coordinator and workers.',
      });
    }
    return data;
  }

  /** Rounds come in order: once one begins, what came before is over. */
  dropBefore(round: number): void {
    for (const held of [...this.#rounds.keys()]) if (held < round) this.#rounds.delete(held);
  }

  drop(round: number): void {
    this.#rounds.delete(round);
  }

  clear(): void {
    this.#rounds.clear();
  }
}
