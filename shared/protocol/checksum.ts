import { crc32 } from '@node-rs/crc32';

/**
 * CRC-32 (IEEE 802.3) over all pieces in order. The only place that knows where it is computed.
 * @param before the checksum of what comes before the pieces
 */
export function checksumOf(pieces: readonly Uint8Array[], before = 0): number {
  let checksum = before;
  for (const piece of pieces) checksum = crc32(piece, checksum);
  return checksum;
}
