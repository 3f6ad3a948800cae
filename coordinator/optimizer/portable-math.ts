/**
 * ECMAScript leaves the last bits of `Math.pow`, `**` and `Math.cos` to the engine, and V8 has changed them
 * between versions. The rates and bias corrections of a run must not depend on that, so these are built from
 * +, -, *, / and `Math.sqrt` alone, which IEEE 754 defines exactly. Accuracy: about 1e-14 relative for `power`
 * with exponents below 100, 1e-16 absolute for `cosPi`.
 */

/**
 * `base ** exponent` for base ≥ 0 and exponent ≥ 0: the whole part of the exponent by repeated squaring, its
 * binary fraction by repeated square roots.
 */
export function power(base: number, exponent: number): number {
  const whole = Math.floor(exponent);
  let result = 1;
  let square = base;
  for (let remaining = whole; remaining > 0; remaining = Math.floor(remaining / 2)) {
    if (remaining % 2 === 1) result *= square;
    square *= square;
  }
  let root = base;
  let fraction = exponent - whole;
  while (fraction > 0) {
    root = Math.sqrt(root);
    fraction *= 2;
    if (fraction >= 1) {
      result *= root;
      fraction -= 1;
    }
  }
  return result;
}

/** cos(π·x) for x in [0, 1], by the Taylor series of cosine on [0, π/2] up to degree 22. */
export function cosPi(x: number): number {
  if (x > 0.5) return -cosPi(1 - x);
  const angle = Math.PI * x;
  const square = angle * angle;
  let series = 1;
  for (let degree = 22; degree >= 2; degree -= 2) {
    series = 1 - (series * square) / (degree * (degree - 1));
  }
  return series;
}
