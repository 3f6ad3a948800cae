import { crc32 } from 'node:zlib';

/** CRC-32 (IEEE 802.3) over all pieces in order. The only place that knows where it is computed. */
export function checksumOf(pieces: readonly Uint8Array[]): number {
  let checksum = 0;
  for (const piece of pieces) checksum = crc32(piece, checksum);
  return checksum;
}
