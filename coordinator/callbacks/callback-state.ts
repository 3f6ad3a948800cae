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
