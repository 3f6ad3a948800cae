import { join } from 'node:path';
import { fromArrays, type JobContext, type JobData, LockstepError, readIdx, subset } from 'lockstep';

/** Rows 0 to 7,999 are for training, the rest is held out. */
export const trainingRows = 8_000;

/** The 10,000 images of MNIST's test set, from the folder of `--data`. */
export async function mnist({ dataDir }: JobContext): Promise<JobData> {
  if (dataDir === null) {
    throw new LockstepError('DATA_NOT_FOUND', 'the job needs the folder that holds MNIST', {
      hint: 'Add --data DIR with t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz.',
    });
  }
  const images = await readIdx(join(dataDir, 't10k-images-idx3-ubyte.gz'));
  const labels = await readIdx(join(dataDir, 't10k-labels-idx1-ubyte.gz'));
  const all = fromArrays({ x: { ...images, shape: [...images.shape, 1] }, y: labels });
  return { train: subset(all, 0, trainingRows), validation: subset(all, trainingRows, all.length) };
}
