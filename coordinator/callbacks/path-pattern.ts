import { LockstepError } from '../../shared/errors.js';

const placeholder = /\{(\w+)(?::([^}]*))?\}/g;
const format = /^(0?)(\d*)(?:\.(\d+))?[df]?$/;

/**
 * Fills the placeholders of a path, in the subset of Python's format that Keras users write: `{epoch}`,
 * `{epoch:02d}`, `{val_loss:.2f}`.
 * @throws LockstepError BAD_OPTION if a name is not among `values` or a format is not understood
 */
export function fillPattern(pattern: string, values: Readonly<Record<string, number>>): string {
  return pattern.replace(placeholder, (whole, name: string, spec = '') => {
    const match = format.exec(spec);
    if (!Object.hasOwn(values, name) || match === null) {
      throw new LockstepError('BAD_OPTION', `${whole} in the path ${pattern} cannot be filled in`, {
        hint: `Use ${Object.keys(values).join(', ')}, as in {epoch:02d} or {loss:.3f}.`,
      });
    }
    const [, zero, width, decimals] = match;
    const value = values[name];
    const isFloat = decimals !== undefined || spec.endsWith('f');
    const text = isFloat ? value.toFixed(Number(decimals ?? 6)) : String(value);
    return text.padStart(Number(width), zero === '0' ? '0' : ' ');
  });
}

/** The names of a pattern's placeholders. */
export function placeholdersOf(pattern: string): string[] {
  return [...pattern.matchAll(placeholder)].map(([, name]) => name);
}
