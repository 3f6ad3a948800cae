import * as tf from '@tensorflow/tfjs';

/** An op whose result is known: small integers, which every float format and sum order holds exactly. */
interface KnownResult {
  readonly op: string;
  readonly expected: readonly number[];
  readonly compute: () => tf.Tensor;
}

const image = () => tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
const filter = () => tf.tensor4d([1, 2, 3, 4], [2, 2, 1, 1]);
const convolve = (x: tf.Tensor, w: tf.Tensor) =>
  tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'valid').sum();

const knownResults: readonly KnownResult[] = [
  {
    op: 'a matrix product',
    expected: [58, 64, 139, 154],
    compute: () =>
      tf.matMul(tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]), tf.tensor2d([7, 8, 9, 10, 11, 12], [3, 2])),
  },
  {
    // Each tap of the filter meets one 2×2 window of the image: 1+2+4+5, 2+3+5+6, …
    op: "a convolution's gradient by its filter",
    expected: [12, 16, 24, 28],
    compute: () => tf.grad((w) => convolve(image(), w))(filter()),
  },
  {
    // Each pixel gathers the taps of the windows that it is part of; the middle one meets all four.
    op: "a convolution's gradient by its input",
    expected: [1, 3, 2, 4, 10, 6, 3, 7, 4],
    compute: () => tf.grad((x) => convolve(x, filter()))(image()),
  },
];

/**
 * Computes what training cannot do without, on the current backend.
 * @returns what is wrong, in one line, or null if all is well
 */
export async function selfTest(): Promise<string | null> {
  for (const { op, expected, compute } of knownResults) {
    const tensor = tf.tidy(compute);
    const actual = await tensor.data();
    tensor.dispose();
    if (actual.length !== expected.length || expected.some((value, i) => value !== actual[i])) {
      return `${op} is [${Array.from(actual)}], expected [${expected}]`;
    }
  }
  return null;
}
