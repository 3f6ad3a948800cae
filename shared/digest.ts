import { createXXHash128 } from 'hash-wasm';

/** One generator serves all: a digest is computed in one go, so no two are ever under way. */
const hasher = await createXXHash128();

/** 32 lower-case hexadecimal digits. */
export type Digest = string;

export const digestLength = 32;
export const digestPattern = /^[0-9a-f]{32}$/;

/**
 * XXH3's 128 bits over all pieces in order, as `xxhsum -H2` prints them. It tells states apart that differ by chance
 * or by a bug, ten times as fast as SHA-256; it does not withstand somebody who looks for two with the same digest.
 */
export function digestOf(pieces: readonly Uint8Array[]): Digest {
  hasher.init();
  for (const piece of pieces) hasher.update(piece);
  return hasher.digest();
}
