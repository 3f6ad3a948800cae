import type { Json } from '../../shared/json.js';

/**
 * Losses and metrics by Keras name, e.g. `loss`, `accuracy`, `val_loss`. What a callback adds at the end of an
 * epoch, such as `learning_rate`, the callbacks after it see, and the history last of all.
 */
export type Logs = Record<string, number>;

export interface TrainingParams {
  readonly epochs: number;
  /** Steps per epoch, or null where a stream does not say. */
  readonly steps: number | null;
  readonly batchSize: number;
  readonly validation: boolean;
}

/** What a callback may see and do. Valid between commits: the run waits for each callback. */
export interface Training {
  readonly params: TrainingParams;
  /** Steps committed so far in the whole run. */
  readonly step: number;
  readonly epoch: number;
  /** Set to true to end the run after the present step (in a batch callback) or epoch. */
  stopTraining: boolean;
  /** The rate of the next step. Setting it replaces a schedule by a constant from then on. */
  learningRate: number;
  /** Copies of the committed weights in the order of `model.getWeights()`. */
  getWeights(): Float32Array[];
  /** Commits new weights; they are part of the run from then on. */
  setWeights(weights: readonly Float32Array[]): void;
  /** Writes the model with its present weights where plain `tf.loadLayersModel` loads it. */
  saveModel(directory: string): Promise<void>;
  /** One line for the person who watches, on the terminal or in the log. */
  print(line: string): void;
}

/** A callback's state: plain data and tensors. It travels in every checkpoint. */
export interface CallbackState {
  /** A key that begins with `~` is about this machine, e.g. a position in a file, and no part of the run's hash. */
  readonly values: Readonly<Record<string, Json>>;
  readonly tensors?: Readonly<Record<string, Float32Array>>;
}

type Hook<Args extends unknown[]> = (...args: [...Args, training: Training]) => void | Promise<void>;

/**
 * Hooks into the run, with the names and semantics of `keras.callbacks.Callback`. Every hook is awaited
 * between commits. A callback with memory implements `saveState` and `loadState`, or a resumed run would forget it.
 */
export interface Callback {
  /** Key of the state in checkpoints; two callbacks of one name get `name`, `name#1`, … in order. */
  readonly name: string;
  onTrainBegin?: Hook<[]>;
  onTrainEnd?: Hook<[logs: Logs]>;
  onEpochBegin?: Hook<[epoch: number]>;
  onEpochEnd?: Hook<[epoch: number, logs: Logs]>;
  onTrainBatchBegin?: Hook<[batch: number]>;
  onTrainBatchEnd?: Hook<[batch: number, logs: Logs]>;
  onTestBegin?: Hook<[]>;
  onTestEnd?: Hook<[logs: Logs]>;
  onTestBatchBegin?: Hook<[batch: number]>;
  onTestBatchEnd?: Hook<[batch: number, logs: Logs]>;
  onPredictBegin?: Hook<[]>;
  onPredictEnd?: Hook<[]>;
  onPredictBatchBegin?: Hook<[batch: number]>;
  onPredictBatchEnd?: Hook<[batch: number]>;
  saveState?(): CallbackState;
  /** Called after `onTrainBegin` of a resumed run, which may reset what it likes. */
  loadState?(state: CallbackState): void;
}
