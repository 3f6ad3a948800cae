import type { TensorData } from '../../../shared/tensors.js';
import type { FedSource } from '../fed.js';

export type ValueType = 'float32' | 'int32' | 'bool';

/** Where a value comes from. */
export type Origin =
  /** A weight, by its index in the manifest. */
  | { readonly kind: 'weight'; readonly index: number }
  | { readonly kind: 'fed'; readonly source: FedSource }
  | { readonly kind: 'constant'; readonly data: TensorData }
  | { readonly kind: 'kernel'; readonly call: KernelCall };

/** A tensor of which only shape and type are known. */
export interface Value {
  readonly shape: readonly number[];
  readonly dtype: ValueType;
  readonly origin: Origin;
}

export type Attributes = Readonly<Record<string, unknown>>;

/** One kernel that TensorFlow.js ran. Inputs that it did not get are missing. */
export interface KernelCall {
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, Value>>;
  readonly attributes: Attributes;
  readonly outputs: Value[];
}

export type ShapeAndType = Pick<Value, 'shape' | 'dtype'>;
