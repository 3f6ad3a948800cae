import type { Receipt, ReceiptsHeader } from '../../../coordinator/receipts/receipt.js';
import type { CoordinatorLife } from './coordinator-life.js';
import { InvariantBroken } from './invariants.js';

/** The receipts of a run: each stands for all that the run did before. */
export class ReceiptChain {
  /** Of every receipt that was made, as `step:chain`. */
  readonly all = new Set<string>();
  readonly #expected: ReadonlySet<string> | null;

  /** @param expected those of the run in which nothing goes wrong; null for that run itself */
  constructor(expected: ReadonlySet<string> | null) {
    this.#expected = expected;
  }

  /** A coordinator has made a receipt. */
  made(life: CoordinatorLife, line: Receipt | ReceiptsHeader): void {
    // Who is told to stop puts the best weights back after its last checkpoint: a resume cuts that off.
    if (!life.process.isAlive || ('set' in line && life.interrupt.signal.aborted)) return;
    const { step, chain } = line;
    const receipt = `${step}:${chain}`;
    this.all.add(receipt);
    if (this.#expected?.has(receipt) === false)
      throw new InvariantBroken('I1', `the receipt of step ${step} does not follow from those before it`);
  }

  /** The run is over: it has told of every step. */
  ended(chain: string | undefined): void {
    const last = [...(this.#expected ?? this.all)].at(-1);
    if (last?.split(':')[1] !== chain)
      throw new InvariantBroken('I1', `the receipts end with ${chain}, expected ${last}`);
  }
}
