import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { renderDigits } from '../../examples/digits/render.js';

const classes = 10;
const pixels = 28 * 28;

/**
 * Held-out accuracy of softmax regression trained on the first images: Adam (Kingma & Ba, 2015), batches of 50.
 * After 8 epochs the accuracy on the images held out has all but stopped rising.
 */
function linearAccuracy(images: ArrayLike<number>, labels: ArrayLike<number>, trained: number): number {
  const width = pixels + 1;
  const x = new Float32Array(labels.length * width);
  for (let row = 0; row < labels.length; row++) {
    for (let p = 0; p < pixels; p++) x[row * width + p] = images[row * pixels + p] / 255;
    x[row * width + pixels] = 1; // the bias
  }
  const weights = new Float32Array(classes * width);
  const [gradient, m, v] = [0, 1, 2].map(() => new Float32Array(weights.length));
  const scoresOf = (row: number): Float64Array =>
    Float64Array.from({ length: classes }, (_, k) => {
      let sum = 0;
      for (let p = 0; p < width; p++) sum += x[row * width + p] * weights[k * width + p];
      return sum;
    });
  const addGradient = (row: number): void => {
    const scores = scoresOf(row);
    const largest = Math.max(...scores);
    const exponentials = scores.map((value) => Math.exp(value - largest));
    const total = exponentials.reduce((sum, value) => sum + value, 0);
    for (let k = 0; k < classes; k++) {
      const error = exponentials[k] / total - (labels[row] === k ? 1 : 0);
      for (let p = 0; p < width; p++) gradient[k * width + p] += error * x[row * width + p];
    }
  };
  const [batch, epochs, rate] = [50, 8, 2e-3];
  for (let step = 1; step <= (epochs * trained) / batch; step++) {
    const first = ((step - 1) * batch) % trained;
    gradient.fill(0);
    for (let row = first; row < first + batch; row++) addGradient(row);
    const [m1, v1] = [1 - 0.9 ** step, 1 - 0.999 ** step];
    for (let i = 0; i < weights.length; i++) {
      const g = gradient[i] / batch;
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      weights[i] -= (rate * m[i]) / m1 / (Math.sqrt(v[i] / v1) + 1e-7);
    }
  }
  let right = 0;
  for (let row = trained; row < labels.length; row++) {
    const scores = scoresOf(row);
    if (scores.indexOf(Math.max(...scores)) === labels[row]) right += 1;
  }
  return right / (labels.length - trained);
}

describe('the rendered digits', () => {
  it('are the same bytes in every process', () => {
    const { images, labels } = renderDigits({ count: 200, seed: 7 });
    const digest = createHash('sha256').update(images.data).update(labels.data).digest('hex');
    expect(digest).toBe('d662fd3d3fd6c45c322fd5797f45b573647ee5e1638797a824ea649233c26524');
  });

  it('follow from seed and position alone, so a longer set begins with a shorter one', () => {
    const short = renderDigits({ count: 20, seed: 3 });
    const long = renderDigits({ count: 60, seed: 3 });
    expect(long.images.data.subarray(0, 20 * pixels)).toEqual(short.images.data);
    expect(long.labels.data.subarray(0, 20)).toEqual(short.labels.data);
    expect(renderDigits({ count: 20, seed: 4 }).images.data).not.toEqual(short.images.data);
  });

  it('are uint8 images of all ten classes, each drawn in many ways', () => {
    const { images, labels } = renderDigits({ count: 1_000, seed: 1 });
    expect([images.dtype, images.shape]).toEqual(['uint8', [1_000, 28, 28, 1]]);
    expect([labels.dtype, labels.shape]).toEqual(['uint8', [1_000]]);
    for (let digit = 0; digit < classes; digit++)
      // Expected 100 of each; six standard deviations are 57.
      expect(Math.abs(labels.data.filter((label) => label === digit).length - 100)).toBeLessThan(57);
    const different = new Set(
      Array.from(labels.data, (_, i) => images.data.subarray(i * pixels, (i + 1) * pixels).join()),
    );
    expect(different.size).toBe(1_000);
  });

  it('are hard enough that a linear model stays under 90 %, and easy enough that it learns', () => {
    const { images, labels } = renderDigits({ count: 5_000, seed: 1 });
    const accuracy = linearAccuracy(images.data, labels.data, 4_000);
    expect(accuracy).toBeGreaterThan(0.75);
    expect(accuracy).toBeLessThan(0.9);
  }, 60_000);
});
