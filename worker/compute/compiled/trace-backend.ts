import * as tf from '@tensorflow/tfjs';
import { invariant } from '../../../shared/errors.js';
import type { TensorData } from '../../../shared/tensors.js';
import type { Attributes, KernelCall, Origin, ShapeAndType, Value, ValueType } from './graph.js';
import { CompileRefusal } from './refusal.js';

export const traceBackendName = 'lockstep-trace';

/** What a kernel gives, by what it gets; refuses what it cannot express. */
export type Infer = (inputs: Readonly<Record<string, Value>>, attributes: Attributes) => ShapeAndType[];

/** Records what runs while a trace is open. */
export class Recorder {
  readonly calls: KernelCall[] = [];
  /** The layer at work. */
  layer: string | null = null;
  readonly #users = new Map<Value, string>();

  /** Notes that the layer at work uses values. */
  use(values: readonly Value[]): void {
    if (this.layer === null) return;
    for (const value of values) this.#users.set(value, this.layer);
  }

  /** The layer that a kernel works for: in the backward pass, the last that used what the kernel gets. */
  layerOf(values: readonly Value[]): string | null {
    if (this.layer !== null) return this.layer;
    const users = values.map((value) => this.#users.get(value));
    return users.find((user) => user !== undefined) ?? null;
  }
}

/**
 * A TensorFlow.js backend whose tensors are symbols: every kernel that runs on it is recorded, none computes. What
 * is read from it, or moved to it from another backend, would be frozen into the graph, and is refused.
 */
export class TraceBackend extends tf.KernelBackend {
  readonly #values = new WeakMap<object, Value>();
  #recorder: Recorder | null = null;

  /** Runs the synchronous `compute` on this backend and gives what it ran. */
  record<T>(recorder: Recorder, compute: () => T): T {
    invariant(this.#recorder === null, 'a trace within a trace');
    const outer = tf.getBackend();
    this.#recorder = recorder;
    switchTo(traceBackendName);
    try {
      return compute();
    } finally {
      switchTo(outer);
      this.#recorder = null;
    }
  }

  get #open(): Recorder {
    invariant(this.#recorder !== null, 'the trace backend computes outside of a trace');
    return this.#recorder;
  }

  /** A new tensor's data. */
  symbol(value: Value): object {
    const dataId = {};
    this.#values.set(dataId, value);
    return dataId;
  }

  symbolised(tensor: tf.TensorInfo): Value {
    const value = this.#values.get(tensor.dataId);
    if (value !== undefined) return value;
    throw new CompileRefusal('a tensor that was made before the step enters it', this.#open);
  }

  /** Records a kernel. */
  run(kernel: string, infer: Infer, given: object, attributes: Attributes): tf.TensorInfo[] {
    const inputs: Record<string, Value> = {};
    for (const [name, tensor] of Object.entries(given)) if (tensor) inputs[name] = this.symbolised(tensor);
    const recorder = this.#open;
    recorder.use(Object.values(inputs));
    let inferred: ShapeAndType[];
    try {
      inferred = infer(inputs, attributes);
    } catch (error) {
      if (!(error instanceof CompileRefusal)) throw error;
      const layer = recorder.layerOf(Object.values(inputs));
      throw new CompileRefusal(`${kernel}: ${error.message}`, { kernel, layer });
    }
    const call: KernelCall = { kernel, inputs, attributes, outputs: [] };
    const origin: Origin = { kind: 'kernel', call };
    for (const { shape, dtype } of inferred) call.outputs.push({ shape, dtype, origin });
    recorder.calls.push(call);
    return call.outputs.map((value) => this.infoOf(value));
  }

  /** Another tensor of the same value. */
  infoOf(value: Value, shape = value.shape): tf.TensorInfo {
    return { dataId: this.symbol(value), shape: [...shape], dtype: value.dtype };
  }

  refuse(kernel: string, given: object): never {
    const inputs = Object.values(given).flatMap((tensor) => this.#values.get(tensor?.dataId) ?? []);
    const layer = this.#open.layerOf(inputs);
    throw new CompileRefusal(`the kernel ${kernel} has no mapping`, { kernel, layer });
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    const known = dtype === 'float32' || dtype === 'int32' || dtype === 'bool';
    if (!known) throw new CompileRefusal(`a tensor of ${dtype} has no mapping`, this.#open);
    const data = values instanceof Float32Array ? values : numbersOf(values as TensorData, dtype);
    return this.symbol({ shape: [...shape], dtype, origin: { kind: 'constant', data } });
  }

  override readSync(): never {
    throw new CompileRefusal('the step depends on values that it computes', this.#open);
  }

  override read(): never {
    return this.readSync();
  }

  override move(): never {
    throw new CompileRefusal('a tensor that was made before the step enters it', this.#open);
  }

  override disposeData(): boolean {
    return true;
  }

  override numDataIds(): number {
    return 0;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override floatPrecision(): 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override refCount(): number {
    return 1;
  }

  override incRef(): void {}

  override timerAvailable(): boolean {
    return false;
  }

  override dispose(): void {}
}

function numbersOf(values: TensorData, dtype: ValueType): TensorData {
  if (dtype === 'float32') return Float32Array.from(values);
  return dtype === 'int32' ? Int32Array.from(values) : Uint8Array.from(values);
}

/** Backends that are made at once are current at once, whatever TensorFlow.js's promise says. */
function switchTo(backend: string): void {
  void tf.setBackend(backend);
  invariant(tf.getBackend() === backend, `${backend} is not current`);
}
