import { Random } from '../../shared/random.js';
import type { Schedule } from '../../shared/transport/memory.js';

/**
 * Decides, by a seed, when each parcel of the in-memory transport arrives: any parcel that is under way may be next,
 * and several may arrive in one turn of the event loop. Parcels of one direction keep their order.
 */
export class ShuffledDelivery {
  readonly #random: Random;
  readonly #underWay: (() => void)[] = [];
  #isPumping = false;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  readonly schedule: Schedule = (deliver) => {
    this.#underWay.push(deliver);
    if (this.#isPumping) return;
    this.#isPumping = true;
    setImmediate(() => this.#pump());
  };

  #pump(): void {
    for (let left = 1 + this.#random.below(this.#underWay.length); left > 0; left--) {
      const [deliver] = this.#underWay.splice(this.#random.below(this.#underWay.length), 1);
      deliver();
    }
    this.#isPumping = this.#underWay.length > 0;
    if (this.#isPumping) setImmediate(() => this.#pump());
  }
}
