import { resolve } from 'node:path';
import type { JobContext, LoadedJob } from '../coordinator/job.js';
import { defaultShards, evaluationSource, isStream, readWeights } from '../coordinator/loop/build-plan.js';
import { canonicalModel } from '../coordinator/loop/canonical-model.js';
import { describeProgram } from '../coordinator/loop/program.js';
import { RoundData } from '../coordinator/server/round-data.js';
import { buildSeeded, dataOf } from '../coordinator/train-job.js';
import { LockstepError } from '../shared/errors.js';
import { flatten } from '../shared/manifest.js';
import type { ProgramSpec, ShardTask } from '../shared/program.js';
import { deriveSeed, Random } from '../shared/random.js';

/** The first shard of a job's first batch, and what it is computed with. */
export interface JobShard {
  readonly spec: ProgramSpec;
  /** Of the model as the job builds it: float32[totalSize] in manifest order. */
  readonly weights: Float32Array;
  readonly task: ShardTask;
}

/**
 * Reads and builds what a worker would be sent for its first shard; rows are those that the data begins with.
 * @throws LockstepError for a job or data that cannot be used
 */
export async function firstShardOf({ job, hasCode }: LoadedJob, dataDir: string | null): Promise<JobShard> {
  const seed = job.seed ?? 0;
  const context: JobContext = {
    dataDir: dataDir === null ? null : resolve(dataDir),
    seed,
    rng: new Random(deriveSeed(seed, 'user')),
  };
  const { train } = await dataOf(job, context);
  const model = await buildSeeded(job, context);
  const canonical = canonicalModel(model);
  const spec = describeProgram(model, canonical, job, { seed, hasJob: hasCode });
  const batchSize = job.batchSize ?? Math.min(32, (isStream(train) ? null : train.length) || 32);
  const shards = job.shards ?? defaultShards(1, batchSize);
  const weights = flatten(canonical.manifest, await readWeights(model));
  model.dispose();
  for await (const { batch, rows } of evaluationSource(train, batchSize, seed).open(0, null)) {
    const data = new RoundData(batch, rows, batchSize, shards).shard(0);
    return { spec, weights, task: { step: 0, shard: 0, batchRows: rows, data } };
  }
  throw new LockstepError('DATA_EMPTY', 'the job has no data', { hint: 'Look at how it is read or split.' });
}
