/** The middle value, or the upper of the two in the middle. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

/** One line of milliseconds: the median and the spread. */
export function describeMs(name: string, valuesMs: readonly number[]): string {
  const [least, middle, most] = [Math.min(...valuesMs), median(valuesMs), Math.max(...valuesMs)];
  const figures = [`median ${middle.toFixed(1)}`, `min ${least.toFixed(1)}`, `max ${most.toFixed(1)}`];
  return `${name.padEnd(44)} ${figures.join('  ')}  (${valuesMs.length} steps)`;
}

/** A ratio of medians, and of minima for a machine that others use as well, against a bound. */
export function describeRatio(
  name: string,
  numerator: readonly number[],
  denominator: readonly number[],
  bound: { readonly atLeast: number } | { readonly atMost: number } | null,
): string {
  const ofMedians = median(numerator) / median(denominator);
  const ofMinima = Math.min(...numerator) / Math.min(...denominator);
  const figures = `${ofMedians.toFixed(3)} of medians, ${ofMinima.toFixed(3)} of minima`;
  if (bound === null) return `${name}: ${figures}`;
  const [words, isMet] =
    'atLeast' in bound
      ? [`at least ${bound.atLeast}`, ofMedians >= bound.atLeast]
      : [`at most ${bound.atMost}`, ofMedians <= bound.atMost];
  return `${name}: ${figures} (target ${words}: ${isMet ? 'met' : 'missed'})`;
}
