import { rejectCodes } from '../protocol/reject.js';
import type { CloseCode } from './connection.js';

/** RFC 6455, 7.4.2: 4000-4999 are for private use. */
const firstStatus = 4_000;

/** The status code of a WebSocket's close frame for one of our reasons. */
export function closeStatusOf(code: Exclude<CloseCode, 'lost'>): number {
  return firstStatus + rejectCodes.indexOf(code);
}

/** The reason behind a status code, also one that a WebSocket library chose. */
export function closeCodeOf(status: number): CloseCode {
  const own = rejectCodes[status - firstStatus];
  if (own !== undefined) return own;
  if (status === 1_009) return 'oversize';
  return status === 1_002 || status === 1_003 || status === 1_007 || status === 1_008 ? 'malformed' : 'lost';
}

/** A close frame holds at most 123 bytes of text (RFC 6455, 5.5); whole characters are kept. */
export function closeText(reason: string): Buffer {
  const bytes = Buffer.from(reason);
  if (bytes.byteLength <= 123) return bytes;
  let end = 123;
  while ((bytes[end] & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
