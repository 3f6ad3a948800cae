/**
 * Every way Lockstep can fail because of its input or its environment. A code is stable, is listed with
 * its meaning in docs/errors.md (a test keeps the two equal), and decides the exit code of the command line:
 * 2 for bad arguments, jobs or data found before training; 1 for a run that failed; 3 for one that has no
 * workers any more, and can go on once there are some.
 */
export const errorCodes = {
  // -- job, options and model --
  BAD_OPTION: 2, // an option or argument has a value that cannot be used
  JOB_NOT_FOUND: 2, // the job file does not exist or cannot be imported
  JOB_INVALID: 2, // the job file has no default export made with defineJob, or a field of it is wrong
  MODEL_UNSUPPORTED: 2, // the model uses something the trainer refuses (stateful layers, non-float weights…)
  CODE_NOT_PORTABLE: 2, // a loss, metric or layer exists only as a closure in the caller's process
  SHAPE_MISMATCH: 2, // data and model disagree about a shape
  LABEL_OUT_OF_RANGE: 2, // a class label is negative or not below the number of outputs
  TOO_MANY_SHARDS: 2, // more shards than samples in a batch
  // -- data --
  DATA_NOT_FOUND: 2, // a data file does not exist
  DATA_CORRUPT: 2, // a data file is truncated or malformed
  DATA_EMPTY: 2, // a dataset holds no samples
  DATA_NOT_FINITE: 2, // the data holds NaN or Inf
  BATCH_TOO_LARGE: 2, // the batch is larger than the data
  // -- checkpoint --
  CHECKPOINT_UNWRITABLE: 2, // the checkpoint folder cannot be written
  CHECKPOINT_NOT_FOUND: 2, // nothing to resume or evaluate
  CHECKPOINT_CORRUPT: 1, // a checkpoint's bytes do not match its checksums
  CHECKPOINT_MISMATCH: 2, // the checkpoint belongs to another model, shard count or optimizer
  RECEIPTS_INVALID: 2, // a file of receipts cannot be read, or holds something else
  RUN_LOCKED: 2, // another coordinator holds the run folder
  // -- workers, network --
  ADDRESS_IN_USE: 2, // the port or socket is taken
  AUTH_FAILED: 1, // the peer does not hold the token
  PROTOCOL_VERSION: 1, // the peer speaks another version of the protocol
  PEER_MISBEHAVED: 1, // the peer sent what the protocol does not allow
  CONNECTION_LOST: 1, // the connection to the peer broke
  BACKEND_UNAVAILABLE: 1, // no compute backend, or not the one asked for, can be loaded
  NO_WORKERS: 3, // the wait for workers ended without enough of them
  WORKER_FAILED: 1, // a worker reported an error that another worker would meet as well
  WORKER_OUT_OF_MEMORY: 1, // a shard does not fit into a worker's memory
  // -- the run --
  NOT_FINITE: 1, // a gradient or loss became NaN or Inf
  NOT_DETERMINISTIC: 1, // a worker's bits differ from the run's reference
  STATE_DRIFT: 1, // a shard changed a non-trainable weight that is not a BatchNorm statistic
  BATCHNORM_TOO_FEW: 2, // a shard has fewer than two values per BatchNorm channel
  CALLBACK_FAILED: 1, // a callback threw
  INTERRUPTED: 1, // the step in flight was abandoned, because it did not end in time after a signal
} as const satisfies Record<string, 1 | 2 | 3>;

export type ErrorCode = keyof typeof errorCodes;

export interface LockstepErrorOptions {
  /** What the user can do about it: one line. */
  hint: string;
  cause?: unknown;
}

/** An error of the environment or of the input: what happened, and what to do about it. */
export class LockstepError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, { hint, cause }: LockstepErrorOptions) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LockstepError';
    this.code = code;
    this.hint = hint;
  }

  get exitCode(): 1 | 2 | 3 {
    return errorCodes[this.code];
  }
}

/** A bug in Lockstep itself. Never caught to go on: the process ends. */
export class InvariantError extends Error {
  override name = 'InvariantError';
}

/** States what must be true unless Lockstep itself is wrong. @throws InvariantError */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(`${message} (this is a bug in Lockstep; please report it)`);
}

/** Makes a `switch` over a union exhaustive at compile time. */
export function assertNever(value: never): never {
  throw new InvariantError(`unexpected value ${JSON.stringify(value)}`);
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
