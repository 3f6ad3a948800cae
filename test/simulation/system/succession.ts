import type { TrainingOutcome } from '../../../coordinator/loop/trainer.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { CoordinatorLife, runDirectory } from './coordinator-life.js';
import { InvariantBroken } from './invariants.js';
import type { World } from './world.js';

/** The coordinators of a run, one after the other: who holds the run folder, and what follows when one ends. */
export class Succession {
  /** The one that coordinates the run now; null while there is none. */
  life: CoordinatorLife | null = null;
  readonly #world: World;
  #term = 0;
  /** Who holds the run folder. */
  #owner: CoordinatorLife | null = null;
  /**
   * Those in whose place others were put while they were stopped, and what was in the folder when the next one had
   * prepared it; null before that. A rename may be under way when its coordinator is stopped.
   */
  readonly #superseded = new Map<CoordinatorLife, readonly string[] | null>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Of the coordinator that holds the run folder. */
  get ownerTerm(): number | null {
    return this.#owner?.term ?? null;
  }

  /** Starts a coordinator on the run folder. Gives whether it may have it. */
  start(): boolean {
    const world = this.#world;
    if (this.#owner?.process.isAlive) {
      world.trace('coordinator', () => 'a second one is refused: the run folder is held');
      return false;
    }
    this.#term += 1;
    const life = new CoordinatorLife(world, this.#term);
    this.life = life;
    this.#owner = life;
    world.invariants.progressed();
    world.invariants.committed();
    world.trace(life.process.name, () => 'starts');
    life.process.onDeath(() => world.trace(life.process.name, () => 'is dead'));
    life.run().then(
      (outcome) => world.guard(() => this.#ended(life, outcome)),
      (error) => world.guard(() => this.#failed(life, error)),
    );
    return true;
  }

  /** The coordinator dies, and is started again some time later. */
  crash(): void {
    this.life?.process.kill();
    this.#restart();
  }

  /** The coordinator is stopped and taken for dead; when it goes on, another one has the folder. */
  supersede(stoppedMs: number): void {
    const { life } = this;
    if (life === null) return;
    life.process.stop();
    this.#superseded.set(life, null);
    this.#restart();
    const { clock, scenario } = this.#world;
    clock.after(scenario.restartMs + stoppedMs, () => life.process.continue());
  }

  /** A coordinator has removed what others left unfinished in the folder: nothing of it may turn up any more. */
  prepared(by: CoordinatorLife): void {
    if (this.#owner !== by) return;
    for (const [life, names] of this.#superseded)
      if (names === null) this.#superseded.set(life, this.#world.disk.namesIn(runDirectory));
  }

  /** Whether a coordinator may have made a checkpoint that is in the folder. */
  mayHaveWritten(life: CoordinatorLife, name: string): boolean {
    if (this.#owner === life) return true;
    const names = this.#superseded.get(life);
    return names === null || names?.includes(name) === true;
  }

  /** Whether the coordinator of a term still runs though its folder was taken over: it removes itself what it began. */
  outlives(term: number): boolean {
    return [...this.#superseded.keys()].some((life) => life.term === term && life.process.isAlive);
  }

  #restart(): void {
    this.#owner = null;
    this.life = null;
    const world = this.#world;
    world.clock.after(world.scenario.restartMs, () => {
      if (!world.isOver && this.life === null) this.start();
    });
  }

  #ended(life: CoordinatorLife, outcome: TrainingOutcome): void {
    if (!life.process.isAlive) return;
    const { cause, position } = outcome;
    const world = this.#world;
    world.trace(life.process.name, () => `ended: ${cause} after ${position.step} steps`);
    if (this.#superseded.has(life))
      throw new InvariantBroken('I4', 'a coordinator ended well whose folder was taken over');
    life.process.kill();
    world.saved.ended(life, position.step);
    if (cause === 'signal') {
      if (!life.interrupt.signal.aborted)
        throw new InvariantBroken('I3', 'stopped by a signal that nobody sent');
      return this.#restart();
    }
    world.invariants.ended(life, position);
    world.receipts.ended(outcome.receipts?.chain);
    world.isOver = true;
  }

  /** The run could not go on: that must be for a fault that explains it. It is started again. */
  #failed(life: CoordinatorLife, error: unknown): void {
    if (!life.process.isAlive) return;
    const world = this.#world;
    world.trace(life.process.name, () => `failed: ${messageOf(error)}`);
    if (!(error instanceof LockstepError)) throw error;
    life.process.kill();
    // It may have found out by itself, or have been without workers.
    if (this.#superseded.has(life)) return;
    if (!world.faults.explain(error))
      throw new InvariantBroken('I5', `it stopped for no fault: ${error.message}`);
    if (error.code !== 'CHECKPOINT_UNWRITABLE') world.saved.ended(life, life.step);
    this.#restart();
  }
}
