/** Raised with every change that may change bits: it is part of the fingerprint. */
export const emitterVersion = 5;
