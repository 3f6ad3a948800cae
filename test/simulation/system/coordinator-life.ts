import { pino } from 'pino';
import type { Callback } from '../../../coordinator/callbacks/callback.js';
import { earlyStopping } from '../../../coordinator/callbacks/early-stopping.js';
import { reduceLROnPlateau } from '../../../coordinator/callbacks/reduce-lr-on-plateau.js';
import { Conductor } from '../../../coordinator/conductor.js';
import { arraySource } from '../../../coordinator/data/array-source.js';
import type { BatchSource } from '../../../coordinator/data/dataset.js';
import { streamSource } from '../../../coordinator/data/stream-source.js';
import type { RunEvent } from '../../../coordinator/events.js';
import { auditedShards } from '../../../coordinator/loop/audited-shards.js';
import { ModelState } from '../../../coordinator/loop/model-state.js';
import { receiptsFor } from '../../../coordinator/loop/receipts-for.js';
import { RunCheckpoints } from '../../../coordinator/loop/run-checkpoints.js';
import { runPlan } from '../../../coordinator/loop/run-plan.js';
import { checkResumable } from '../../../coordinator/loop/run-snapshot.js';
import { settingsOf } from '../../../coordinator/loop/settings.js';
import type { TrainingOutcome } from '../../../coordinator/loop/trainer.js';
import type { TrainingPlan } from '../../../coordinator/loop/training-plan.js';
import { manifestHash } from '../../../shared/manifest-hash.js';
import type { ShardPartial } from '../../../shared/partial.js';
import { journal } from './journal.js';
import { SimulatedProcess } from './process.js';
import { shuffleBuffer, validationRow } from './reference.js';
import { plateau, stopping } from './reference-callbacks.js';
import {
  initialWeights,
  manifest,
  optimizerOf,
  programOf,
  recordOf,
  tensorsOf,
  validatedEpochs,
} from './tiny-job.js';
import { Traffic } from './traffic.js';
import { WatchedStore } from './watched-store.js';
import type { World } from './world.js';

const log = pino({ level: 'silent' });
export const runDirectory = '/run';

/** How long a step may go on once the coordinator was told to stop. */
const graceMs = 5_000;

/** What the coordinator is at; the step's phases in more detail come from the wire. */
export type Stage = 'opening' | 'forming' | 'idle' | 'round' | 'committing' | 'validating' | 'ended';

/** One process of the coordinator, from its start to its end: real conductor, trainer, sources and checkpoints. */
export class CoordinatorLife {
  readonly process: SimulatedProcess;
  readonly term: number;
  readonly callbacks: readonly Callback[];
  readonly state: ModelState;
  readonly interrupt = new AbortController();
  readonly traffic: Traffic;
  conductor: Conductor | null = null;
  stage: Stage = 'opening';
  /** Connections that were let in. */
  admitted = 0;
  isWriting = false;
  /** The last step that it committed, or the one that it went on from. */
  step = 0;
  readonly #world: World;

  constructor(world: World, term: number) {
    this.#world = world;
    this.term = term;
    this.process = new SimulatedProcess(`coordinator ${term}`, world.clock);
    const { job } = world;
    this.traffic = new Traffic({
      run: world.runId,
      term,
      nowMs: () => world.clock.nowMs(),
      continuedMs: () => this.process.continuedMs,
      shards: job.shards,
      patienceMs: world.limits.deadlineFloorMs,
      audits: world.scenario.auditFraction > 0,
      audited: (step, present) =>
        auditedShards({ seed: job.seed, fraction: world.scenario.auditFraction }, step, present),
      mayDoubt: () => world.scenario.auditFraction > 0 || world.faults.hasSpoiled,
    });
    this.callbacks = [
      journal(this, world),
      reduceLROnPlateau(plateau),
      ...(job.stopsEarly ? [earlyStopping(stopping)] : []),
    ];
    this.state = new WatchedState(
      { manifest, flat: initialWeights(job), optimizer: optimizerOf(job), constraints: [] },
      (sum) => {
        if (!this.process.isAlive) return;
        this.stage = 'committing';
        world.invariants.committing(this, sum);
        // Of one whose folder was taken over only the bits count.
        if (world.life === this) this.traffic.committing();
      },
    );
  }

  /** Resolves when the run has ended by itself; a crash leaves it pending for ever. */
  async run(): Promise<TrainingOutcome> {
    const world = this.#world;
    const { job, disk, scenario } = world;
    const emit = (event: RunEvent): void => {
      if (this.process.isAlive) this.#hear(event);
    };
    const store = new WatchedStore(disk.seenBy(this.process), this, world);
    await store.prepare();
    const found = (await store.list()).length === 0 ? null : await store.readLatest(world.runId);
    const resume = found?.snapshot ?? null;
    if (resume !== null) world.guard(() => world.invariants.snapshot(resume));
    for (const message of found?.warnings ?? []) emit({ type: 'warning', message });
    const passedOver = found?.warnings.length ?? 0;
    world.foundCheckpoint(this, found?.path ?? null, resume?.run.step ?? 0, passedOver);
    const program = programOf(job);
    const samples = job.isStream ? null : job.rows;
    const shuffle = job.isStream ? shuffleBuffer : true;
    const settings = settingsOf(program, { classWeight: null, shuffle, stepsPerEpoch: null, samples });
    const { shards, batchSize, seed } = job;
    if (resume !== null) {
      const wanted = { manifestHash: manifestHash(manifest), program, shards, batchSize, seed };
      checkResumable(resume, { ...wanted, backend: 'auto', optimizer: optimizerOf(job), settings });
    }
    const options = { everySteps: scenario.everySteps };
    const checkpoints = new RunCheckpoints(store, this.term, options, {
      onEvent: emit,
      onLost: ({ code, message, hint }) => this.conductor?.stop({ code, message, hint }),
      resumedFrom: found?.path ?? null,
      clock: this.process.clock,
    });
    const conductor = new Conductor({
      clock: this.process.clock,
      limits: world.limits,
      onEvent: emit,
      log,
      othersMayCome: true,
    });
    this.conductor = conductor;
    this.stage = 'forming';
    const access = {
      conductor,
      workers: 1,
      joinTimeoutMs: 60_000,
      options: {},
      faults: null,
      emit,
      subscribe: () => () => {},
    };
    const receipts = await receiptsFor(
      {
        checkpoints: null,
        resume,
        recordShards: false,
        onReceipt: (line) => world.guard(() => world.receipts.made(this, line)),
      },
      { runId: world.runId, seed, shards, batchSize },
      this.state,
      emit,
    );
    const { source, validation } = this.#sources();
    const plan: TrainingPlan = {
      runId: world.runId,
      program,
      settings,
      state: this.state,
      source,
      samples,
      validation,
      validationFreq: validatedEpochs,
      prepare: (batch) => batch,
      prepareValidation: (batch) => batch,
      initialEpoch: 0,
      epochs: job.epochs,
      shards,
      seed,
      auditFraction: scenario.auditFraction,
      callbacks: this.callbacks,
      checkpoints,
      resume,
      maxSteps: null,
      signal: this.interrupt.signal,
      graceMs,
      onEvent: emit,
      onNonFinite: 'stop',
      receipts,
    };
    const canonical = { topology: program.topology, manifest, outputNames: ['out'], outputElements: [1] };
    try {
      return await runPlan(access, canonical, plan);
    } finally {
      if (this.process.isAlive) {
        this.stage = 'ended';
        conductor.close('the run is over');
        checkpoints.close();
      }
    }
  }

  #sources(): { source: BatchSource; validation: BatchSource } {
    const { job, scenario } = this.#world;
    const { process } = this;
    const fetch = async (): Promise<void> => {
      const takesMs = scenario.dataMs + this.#world.faults.dataLateMs();
      if (takesMs > 0) await process.sleep(takesMs);
    };
    const batchOf = (indices: ArrayLike<number>) => {
      const { x, y } = tensorsOf(job, indices);
      return { x: [x], y: [y] };
    };
    const { batchSize, seed } = job;
    const source = job.isStream
      ? streamSource(
          {
            async *open(epoch) {
              for (let position = 0; position < job.rows; position++) {
                if (position % batchSize === 0) await fetch();
                yield recordOf(job, epoch, position);
              }
            },
          },
          { batchSize, seed, shuffleBuffer },
        )
      : arraySource(
          { length: job.rows, batch: (indices) => fetch().then(() => batchOf(indices)) },
          { batchSize, seed, shuffle: true },
        );
    const validation = arraySource(
      {
        length: job.validationRows,
        batch: (indices) => batchOf(indices.map((row) => validationRow(job, row))),
      },
      { batchSize, seed, shuffle: false },
    );
    return { source, validation };
  }

  #hear(event: RunEvent): void {
    if (event.type === 'start' || event.type === 'step' || event.type === 'epoch-begin') this.stage = 'idle';
    this.#world.heard(this, event);
  }
}

class WatchedState extends ModelState {
  readonly #watch: (sum: ShardPartial) => void;

  constructor(options: ConstructorParameters<typeof ModelState>[0], watch: (sum: ShardPartial) => void) {
    super(options);
    this.#watch = watch;
  }

  override step(sum: ShardPartial, epoch: number): void {
    this.#watch(sum);
    super.step(sum, epoch);
  }
}
