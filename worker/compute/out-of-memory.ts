import { LockstepError, messageOf } from '../../shared/errors.js';

/** What the engine, the WASM runtime, TensorFlow and WebGPU say when memory ends. */
const signs =
  /out of memory|\bOOM\b|resource ?exhausted|cannot enlarge memory|allocation failed|failed to allocate|bad_alloc|memory access out of bounds|device (?:is |was )?lost/i;

/** The error to report: a coded one with a remedy where memory ran out, else the error as it is. */
export function explainOutOfMemory(error: unknown): unknown {
  if (error instanceof LockstepError || !signs.test(messageOf(error))) return error;
  return new LockstepError('WORKER_OUT_OF_MEMORY', `a shard does not fit into memory: ${messageOf(error)}`, {
    hint: 'Raise --shards: each shard then holds fewer rows.',
    cause: error,
  });
}
