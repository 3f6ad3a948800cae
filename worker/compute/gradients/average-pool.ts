import * as tf from '@tensorflow/tfjs';

type Padding = 'same' | 'valid' | number;

interface PoolAttributes {
  readonly filterSize: [number, number, number] | [number, number] | number;
  readonly strides: [number, number, number] | [number, number] | number;
  readonly pad: Padding;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/**
 * Replaces the gradients of AvgPool and AvgPool3D. The average is over a window's pixels inside of the image; the
 * stock kernels, but those of TensorFlow's own library, divide a slope by the whole window.
 */
export function registerAveragePoolGradients(): void {
  replace(tf.AvgPool, tf.AvgPoolGrad);
  replace(tf.AvgPool3D, tf.AvgPool3DGrad);
}

function replace(kernelName: string, gradientKernel: string): void {
  tf.unregisterGradient(kernelName);
  tf.registerGradient({
    kernelName,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], given) => {
      const attributes = given as unknown as PoolAttributes;
      const exact = attributes.pad === 'valid' || attributes.pad === 0 || tf.getBackend() === 'tensorflow';
      const gradient = (slope: tf.Tensor) =>
        tf.engine().runKernel(gradientKernel, { dy: slope, input: x }, { ...given }) as tf.Tensor;
      return {
        x: () =>
          gradient(exact ? (dy as tf.Tensor) : tf.mul(dy as tf.Tensor, wholeShares(x.shape, attributes))),
      };
    },
  });
}

/** Pixels of a whole window per pixel inside of the image, for each window: float32[1, ...windows, 1]. */
function wholeShares(shape: readonly number[], attributes: PoolAttributes): tf.Tensor {
  const axes = windowsOf(shape, attributes);
  const sizes = axes.map((counts) => counts.length);
  const shares = axes.reduce<number[]>(
    (outer, counts) => outer.flatMap((share) => counts.map((count) => share * count)),
    [1],
  );
  return tf.tensor(shares, [1, ...sizes, 1]);
}

/** Per axis and window: how many times more pixels the window has than lie inside of the image. */
function windowsOf(shape: readonly number[], attributes: PoolAttributes): number[][] {
  const { filterSize, strides, pad, dimRoundingMode } = attributes;
  const along = (length: number, filter: number, stride: number, count: number, before: number) =>
    Array.from({ length: count }, (_, window) => {
      const start = window * stride - before;
      return filter / (Math.min(length, start + filter) - Math.max(0, start));
    });
  if (shape.length === 4) {
    const info = tf.backend_util.computePool2DInfo(
      shape as [number, number, number, number],
      filterSize as [number, number],
      strides as [number, number],
      1,
      pad,
      dimRoundingMode,
    );
    return [
      along(info.inHeight, info.filterHeight, info.strideHeight, info.outHeight, info.padInfo.top),
      along(info.inWidth, info.filterWidth, info.strideWidth, info.outWidth, info.padInfo.left),
    ];
  }
  const info = tf.backend_util.computePool3DInfo(
    shape as [number, number, number, number, number],
    filterSize as [number, number, number],
    strides as [number, number, number],
    1,
    pad,
    dimRoundingMode,
  );
  return [
    along(info.inDepth, info.filterDepth, info.strideDepth, info.outDepth, info.padInfo.front),
    along(info.inHeight, info.filterHeight, info.strideHeight, info.outHeight, info.padInfo.top),
    along(info.inWidth, info.filterWidth, info.strideWidth, info.outWidth, info.padInfo.left),
  ];
}
