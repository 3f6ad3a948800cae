import { InvariantError, LockstepError, messageOf } from '../shared/errors.js';

export interface Failure {
  readonly exitCode: 1 | 2 | 3;
  /** For standard error. */
  readonly text: string;
}

/**
 * An error as the terminal shows it: one line of what, one line of what to do. The stack only on demand, or where
 * the error is a bug of Lockstep's.
 */
export function failureOf(thrown: unknown, verbose: boolean): Failure {
  if (thrown instanceof InvariantError) return { exitCode: 1, text: `error: ${stackOf(thrown)}\n` };
  const known = thrown instanceof LockstepError;
  const [what] = messageOf(thrown).split('\n');
  const hint = known ? thrown.hint : 'The job or a library threw this; --verbose shows where.';
  const lines = [`error: ${what}`, `  ${hint}`];
  if (verbose) {
    if (known) lines.push(`  ${thrown.code}`);
    for (let at = thrown; at !== undefined; at = at instanceof Error ? at.cause : undefined) {
      lines.push(at === thrown ? stackOf(at) : `caused by ${stackOf(at)}`);
    }
  }
  return { exitCode: known ? thrown.exitCode : 1, text: `${lines.join('\n')}\n` };
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
