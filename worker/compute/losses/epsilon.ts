/** Keras's `epsilon()`: probabilities are kept this far from 0 and 1. */
export const probabilityEpsilon = 1e-7;
