import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { CallbackState } from './callback.js';

/** Any float64, infinities and NaN included. */
export const float64 = z.custom<number>((value) => typeof value === 'number', 'expected a number');

/**
 * The values of a saved state, checked.
 * @throws LockstepError CHECKPOINT_MISMATCH
 */
export function valuesOf<T>(name: string, schema: z.ZodType<T>, { values }: CallbackState): T {
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LockstepError(
    'CHECKPOINT_MISMATCH',
    `the saved state of ${name} does not fit: ${issue.path.join('.')} ${issue.message}`,
    { hint: 'Resume with the callbacks that the run was started with.' },
  );
}

/**
 * A tensor of a saved state.
 * @throws LockstepError CHECKPOINT_MISMATCH
 */
export function tensorOf(name: string, tensor: string, { tensors }: CallbackState): Float32Array {
  const found = tensors?.[tensor];
  if (found !== undefined) return found;
  throw new LockstepError('CHECKPOINT_MISMATCH', `the saved state of ${name} lacks the tensor ${tensor}`, {
    hint: 'Resume with the callbacks that the run was started with.',
  });
}

/**
 * Checks what a callback's `saveState` gave, before it goes into a checkpoint.
 * @throws LockstepError CALLBACK_FAILED naming what cannot be kept
 */
export function checkState(name: string, state: unknown): asserts state is CallbackState {
  const refuse = (what: string): never => {
    throw new LockstepError('CALLBACK_FAILED', `callback ${name}: saveState gives ${what}`, {
      hint: 'Return { values: { … } } with numbers, strings, booleans, null, lists and objects of them, and Float32Arrays as { values, tensors }.',
    });
  };
  if (!isRecord(state) || !isRecord(state.values)) return refuse('no object with values');
  const stray = Object.keys(state).find((key) => key !== 'values' && key !== 'tensors');
  if (stray !== undefined) return refuse(`${stray} outside of values`);
  const path = unkeepable(state.values, 'values');
  if (path !== null) return refuse(`${path}, which is no plain data`);
  for (const [key, tensor] of Object.entries(state.tensors ?? {})) {
    if (!(tensor instanceof Float32Array)) return refuse(`tensors.${key}, which is no Float32Array`);
  }
}

/** Where in it something stands that JSON does not know, or null; any float64 is fine (exact-json.ts). */
function unkeepable(value: unknown, path: string): string | null {
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return null;
  if (!Array.isArray(value) && !isRecord(value)) return path;
  for (const [key, field] of Object.entries(value)) {
    const found = unkeepable(field, `${path}.${key}`);
    if (found !== null) return found;
  }
  return null;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
