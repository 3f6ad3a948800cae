import { basename } from 'node:path';
import { type CoordinatorLife, runDirectory } from './coordinator-life.js';
import { InvariantBroken } from './invariants.js';
import type { World } from './world.js';

/** Steps that may go by after a checkpoint was due: one may be in the making, and the next step is on its way. */
const stepsLate = 3;
/** Complete checkpoints that are kept. */
const kept = 2;

/** What is on the disk: that it is enough, that it is not lost, and that it does not grow. */
export class SavedProgress {
  readonly #world: World;
  /** Of the newest checkpoint that was said to be complete. */
  #reported = 0;
  /** Names of those that a fault has damaged. */
  readonly #damaged = new Set<string>();
  /** Steps in a row at whose end nothing was being written. */
  #calmSteps = 0;
  #lastStep = 0;

  constructor(world: World) {
    this.#world = world;
  }

  damaged(name: string): void {
    this.#damaged.add(name);
  }

  /** Complete checkpoints that nobody has damaged, the newest first. */
  #intact(): string[] {
    return this.#world.disk
      .namesIn(runDirectory)
      .filter((name) => name.startsWith('checkpoint-') && !this.#damaged.has(name))
      .sort((a, b) => sequenceOf(b) - sequenceOf(a));
  }

  /** A coordinator goes on from a checkpoint, or begins anew. */
  foundBy(life: CoordinatorLife, path: string | null, step: number): void {
    this.#lastStep = step;
    life.step = step;
    const [newest] = this.#intact();
    const found = path === null ? null : basename(path);
    if (found !== (newest ?? null))
      throw new InvariantBroken('I3', `it goes on from ${found}, and ${newest} is there`);
    const isNewestDamaged = [...this.#damaged].some((name) => sequenceOf(name) >= this.#reported);
    if (this.#reported > (found === null ? 0 : sequenceOf(found)) && !isNewestDamaged)
      throw new InvariantBroken(
        'I3',
        `it goes on from ${found}, and checkpoint ${this.#reported} was complete`,
      );
  }

  /** A snapshot is handed over to be written. */
  saving(step: number): void {
    this.#lastStep = step;
    this.#calmSteps = 0;
  }

  /** A checkpoint is said to be complete. */
  written(path: string): void {
    this.#reported = sequenceOf(basename(path));
    const intact = this.#intact().map(sequenceOf);
    if (!intact.includes(this.#reported))
      throw new InvariantBroken(
        'I3',
        `checkpoint ${this.#reported} is said to be complete, and is not there`,
      );
    const complete = this.#world.disk.namesIn(runDirectory).filter((name) => name.startsWith('checkpoint-'));
    const isTroubled = this.#world.faults.excuses.has('disk');
    if (complete.length > kept + 1 + this.#damaged.size && !isTroubled)
      throw new InvariantBroken('I5', `${complete.length} checkpoints are kept`);
    if (intact.length < Math.min(kept, this.#reported) && this.#damaged.size === 0)
      throw new InvariantBroken('I3', `of the checkpoints only ${intact} are left`);
  }

  /** A step is committed: a crash must not undo more than was asked for. */
  stepped(life: CoordinatorLife, step: number): void {
    life.step = step;
    this.#calmSteps = life.isWriting ? 0 : this.#calmSteps + 1;
    const { everySteps } = this.#world.scenario;
    if (step - this.#lastStep > everySteps && this.#calmSteps > stepsLate)
      throw new InvariantBroken('I3', `after step ${step} only step ${this.#lastStep} is saved`);
  }

  /** A coordinator has ended by itself: all that it committed must be there. */
  ended({ term, step: committed }: CoordinatorLife, step: number): void {
    const { disk, faults, succession } = this.#world;
    if (step !== committed)
      throw new InvariantBroken('I3', `it ended after step ${step}, and committed step ${committed}`);
    if (faults.excuses.has('disk')) return;
    const [newest] = this.#intact();
    if (step > 0 && (newest === undefined || stepOf(newest) !== step))
      throw new InvariantBroken('I3', `it ended after step ${step}, and left ${newest}`);
    const left = disk.namesIn(runDirectory).filter((name) => name.startsWith('.unfinished-'));
    const old = left.filter((name) => {
      const by = Number(name.split('-')[1]);
      return by !== term && !succession.outlives(by);
    });
    if (old.length > 0) throw new InvariantBroken('I5', `what a crash has left stays: ${old}`);
  }
}

const sequenceOf = (name: string): number => Number(name.split('-')[1]);
const stepOf = (name: string): number => Number(name.split('-')[3]);
