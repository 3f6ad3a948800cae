import { invariant } from '../../shared/errors.js';
import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { midOf, type ShardRange } from '../../shared/tree.js';

/**
 * Collects the partials of one round as they arrive and sums neighbours as soon as both are there. The order
 * of arrival decides when an addition happens, never which: the tree over `[0, shards)` does.
 */
export class PartialTree {
  readonly #shards: number;
  readonly #present: number;
  readonly #nodes = new Map<number, { hi: number; partial: ShardPartial }>();

  constructor(shards: number, present: number) {
    this.#shards = shards;
    this.#present = present;
  }

  /** Takes ownership of `partial`. `range` must be a node of the tree and not overlap one added before. */
  add(range: ShardRange, partial: ShardPartial): void {
    let { lo, hi } = range;
    let sum = partial;
    invariant(!this.#nodes.has(lo), `partial [${lo}, ${hi}) added twice`);
    while (hi - lo < this.#shards) {
      const parent = this.#parentOf(lo, hi);
      const mid = midOf(parent.lo, parent.hi);
      if (lo === parent.lo) {
        const right = this.#nodes.get(mid);
        if (mid >= this.#present) {
          // The right half is absent: the sum stands for the whole parent, nothing is added.
        } else if (right !== undefined && right.hi === parent.hi) {
          this.#nodes.delete(mid);
          sum = addPartials(sum, right.partial);
        } else break;
      } else {
        const left = this.#nodes.get(parent.lo);
        if (left === undefined || left.hi !== mid) break;
        this.#nodes.delete(parent.lo);
        sum = addPartials(left.partial, sum);
      }
      ({ lo, hi } = parent);
    }
    this.#nodes.set(lo, { hi, partial: sum });
  }

  /** The sum of all present shards. Only valid once every one of them was added. */
  get root(): ShardPartial {
    const root = this.#nodes.get(0);
    invariant(root !== undefined && root.hi === this.#shards, 'the round is not complete');
    return root.partial;
  }

  #parentOf(lo: number, hi: number): ShardRange {
    let parent: ShardRange = { lo: 0, hi: this.#shards };
    for (;;) {
      const mid = midOf(parent.lo, parent.hi);
      const child = lo < mid ? { lo: parent.lo, hi: mid } : { lo: mid, hi: parent.hi };
      if (child.lo === lo && child.hi === hi) return parent;
      invariant(
        child.lo <= lo && hi <= child.hi && child.hi - child.lo > hi - lo,
        `[${lo}, ${hi}) is not a subtree`,
      );
      parent = child;
    }
  }
}
