import { basename } from 'node:path';
import type { Snapshot } from '../../../coordinator/checkpoint/snapshot.js';
import { CheckpointStore, type WrittenCheckpoint } from '../../../coordinator/checkpoint/store.js';
import { LockstepError } from '../../../shared/errors.js';
import { type CoordinatorLife, runDirectory } from './coordinator-life.js';
import { InvariantBroken } from './invariants.js';
import type { World } from './world.js';

/** A checkpoint store of which the world looks at what goes in and what comes out. */
export class WatchedStore extends CheckpointStore {
  readonly #life: CoordinatorLife;
  readonly #world: World;

  constructor(disk: ReturnType<World['disk']['seenBy']>, life: CoordinatorLife, world: World) {
    super(runDirectory, { disk, owner: ownership(life, world) });
    this.#life = life;
    this.#world = world;
  }

  override async prepare(): Promise<void> {
    await super.prepare();
    this.#world.succession.prepared(this.#life);
  }

  override async write(snapshot: Snapshot): Promise<WrittenCheckpoint> {
    this.#world.guard(() => this.#world.invariants.snapshot(snapshot));
    this.#life.isWriting = true;
    try {
      const written = await super.write(snapshot);
      this.#world.trace(this.#life.process.name, () => `checkpoint of step ${written.step} is complete`);
      if (!this.#world.succession.mayHaveWritten(this.#life, basename(written.path))) {
        const what = 'a coordinator wrote a checkpoint into a folder that another one has';
        this.#world.fail(new InvariantBroken('I4', what));
      }
      return written;
    } finally {
      this.#life.isWriting = false;
    }
  }
}

/** The right to the run folder, as the lock gives it (lock.ts needs real processes; its tests are elsewhere). */
const ownership = ({ term, process }: CoordinatorLife, world: World) => ({
  term,
  verify: async () => {
    if (world.succession.ownerTerm !== term && process.isAlive) {
      throw new LockstepError('RUN_LOCKED', 'another coordinator has the run folder', { hint: 'Stop one.' });
    }
  },
  nameRun: async () => {},
});
