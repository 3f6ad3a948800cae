import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { type HostTensor, sizeOf } from '../../shared/tensors.js';
import { type FedValue, fed } from './fed.js';

/** `dense`: float32 of the prediction's shape. `sparse`: int32 class numbers, one per row of classes. `given`: as they came, in float32. */
export type LabelForm = 'dense' | 'sparse' | 'given';

/**
 * The labels of one output in the forms that losses and metrics want, each made once. As in Keras, `[rows]` and
 * `[rows, 1]` are the same labels for an output one wide, and for class numbers.
 */
export class Labels {
  readonly host: HostTensor;
  readonly #output: { readonly index: number; readonly name: string };
  readonly #predictions: readonly number[];
  readonly #tensors = new Map<LabelForm, tf.Tensor>();

  /** @param predictions the shape of the output for these rows */
  constructor(
    host: HostTensor,
    predictions: readonly number[],
    output: { readonly index: number; readonly name: string },
  ) {
    this.host = host;
    this.#predictions = predictions;
    this.#output = output;
  }

  /**
   * Kept until `dispose`.
   * @throws LockstepError SHAPE_MISMATCH, LABEL_OUT_OF_RANGE
   */
  as(form: LabelForm): tf.Tensor {
    let tensor = this.#tensors.get(form);
    if (tensor === undefined) {
      const source = { kind: 'labels', output: this.#output.index, form } as const;
      tensor = tf.keep(fed(source, () => this.valueOf(form)));
      this.#tensors.set(form, tensor);
    }
    return tensor;
  }

  /** Whether the labels are class numbers for an output of several classes, by their shape alone, as Keras decides. */
  get areClassNumbers(): boolean {
    const { shape } = this.host;
    const classes = this.#predictions[this.#predictions.length - 1];
    return classes > 1 && (shape.length < this.#predictions.length || shape[shape.length - 1] === 1);
  }

  /** Fails unless there is one label per predicted value. */
  requireDense(): void {
    const { shape } = this.host;
    const predictions = this.#predictions;
    const narrow = predictions[predictions.length - 1] === 1;
    const padded = narrow && shape.length === predictions.length - 1 ? [...shape, 1] : shape;
    if (!sameShape(padded, predictions)) throw this.#mismatch(predictions);
  }

  /**
   * The labels in a form, on the host.
   * @throws LockstepError SHAPE_MISMATCH, LABEL_OUT_OF_RANGE
   */
  valueOf(form: LabelForm): FedValue {
    const { data, shape } = this.host;
    const predictions = this.#predictions;
    switch (form) {
      case 'dense':
        this.requireDense();
        return { dtype: 'float32', shape: predictions, data };
      case 'sparse':
        return { dtype: 'int32', shape: predictions.slice(0, -1), data: this.#classNumbers() };
      case 'given': {
        const narrow = predictions[predictions.length - 1] === 1;
        const expand = narrow && shape.length === predictions.length - 1;
        return { dtype: 'float32', shape: expand ? [...shape, 1] : shape, data };
      }
    }
  }

  dispose(): void {
    tf.dispose([...this.#tensors.values()]);
    this.#tensors.clear();
  }

  #classNumbers(): Int32Array {
    const { data, shape } = this.host;
    const rows = this.#predictions.slice(0, -1);
    const classes = this.#predictions[this.#predictions.length - 1];
    if (!sameShape(shape, rows) && !sameShape(shape, [...rows, 1])) throw this.#mismatch(rows);
    const numbers = new Int32Array(sizeOf(rows));
    for (let i = 0; i < numbers.length; i++) {
      if (!(data[i] >= 0 && data[i] < classes)) {
        throw new LockstepError(
          'LABEL_OUT_OF_RANGE',
          `output ${this.#output.name} got the label ${data[i]}`,
          {
            hint: `It has ${classes} classes: labels must be 0 to ${classes - 1}.`,
          },
        );
      }
      numbers[i] = data[i];
    }
    return numbers;
  }

  #mismatch(expected: readonly number[]): LockstepError {
    const got = this.host.shape.slice(1).join(', ');
    return new LockstepError(
      'SHAPE_MISMATCH',
      `labels of output ${this.#output.name} have shape [rows, ${got}], expected [rows, ${expected.slice(1).join(', ')}]`,
      {
        hint: 'Class numbers need sparseCategoricalCrossentropy; one-hot rows need categoricalCrossentropy.',
      },
    );
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}
