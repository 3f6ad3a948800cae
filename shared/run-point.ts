/**
 * Where a step of training can be, in order. `receiving`, `computing` and `uploading` are places of one worker:
 * weights are on their way to it, it computes, a part of its partial has arrived.
 */
export const runPhases = [
  'idle',
  'dispatch',
  'receiving',
  'computing',
  'uploading',
  'reducing',
  'committing',
  'checkpointing',
] as const;

export type RunPhase = (typeof runPhases)[number];

/** A moment of a training step that the coordinator itself sees; evaluations have none. */
export interface RunPoint {
  /**
   * `idle`: no order of the step was sent yet. `dispatch`: one was just sent to `worker`. `reducing`: a result of
   * `worker` was just added. `committing`: all results are there, the update comes next. `checkpointing`: a
   * checkpoint is being written.
   */
  readonly phase: Exclude<RunPhase, 'receiving' | 'computing' | 'uploading'>;
  /** The step under way, counted from 0 over the whole run; of a checkpoint, the steps it holds. */
  readonly step: number;
  /** Whom `dispatch` and `reducing` are about; null for the others. */
  readonly worker: number | null;
  /** Shards ordered from, or accepted of, that worker; 0 for the others. */
  readonly shards: number;
}

/** Called within the coordinator's own work: whoever listens must be quick and must not throw. */
export type RunPointListener = (point: RunPoint) => void;
