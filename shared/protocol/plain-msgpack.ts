/** Model topologies nest a few levels per wrapped model; JSON of ours is far shallower than this. */
const maxDepth = 128;

/**
 * Whether `bytes` are exactly one MessagePack value made of JSON's types: nil, booleans, numbers (integers of
 * at most 32 bits, floats), strings, arrays, maps with string keys. Extensions, binaries and 64-bit integers
 * are refused before a general decoder sees them: it would build regular expressions, records and typed
 * arrays on a stranger's word. Reads each byte once, keeps one number per open level, allocates nothing that
 * a stranger chooses.
 *
 * Source of the format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function isPlainMsgpack(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.byteLength;
  /** Per open level: values still to come; in a map keys and values count separately. */
  const remaining: number[] = [1];
  const isMap: boolean[] = [false];
  let position = 0;

  while (remaining.length > 0) {
    const level = remaining.length - 1;
    if (remaining[level] === 0) {
      remaining.pop();
      isMap.pop();
      continue;
    }
    const isKey = isMap[level] && remaining[level] % 2 === 0;
    remaining[level] -= 1;
    if (position >= end) return false;
    const tag = bytes[position];
    position += 1;
    if (isKey && !isString(tag)) return false;

    const lengthBytes = lengthBytesOf(tag);
    if (position + lengthBytes > end) return false;
    const length = lengthBytes === 0 ? shortLength(tag) : readLength(view, position, lengthBytes);
    position += lengthBytes;

    if (isArray(tag) || isMapTag(tag)) {
      const values = isMapTag(tag) ? 2 * length : length;
      if (values > end - position || remaining.length >= maxDepth) return false;
      remaining.push(values);
      isMap.push(isMapTag(tag));
    } else {
      const size = isString(tag) ? length : scalarBytes(tag);
      if (size === null || position + size > end) return false;
      position += size;
    }
  }
  return position === end;
}

const isString = (tag: number): boolean => (tag & 0xe0) === 0xa0 || (tag >= 0xd9 && tag <= 0xdb);
const isArray = (tag: number): boolean => (tag & 0xf0) === 0x90 || tag === 0xdc || tag === 0xdd;
const isMapTag = (tag: number): boolean => (tag & 0xf0) === 0x80 || tag === 0xde || tag === 0xdf;

/** Bytes of the length that follows the tag of a string, array or map; 0 where the tag itself holds it. */
function lengthBytesOf(tag: number): 0 | 1 | 2 | 4 {
  if (tag === 0xd9) return 1;
  if (tag === 0xda || tag === 0xdc || tag === 0xde) return 2;
  if (tag === 0xdb || tag === 0xdd || tag === 0xdf) return 4;
  return 0;
}

function shortLength(tag: number): number {
  return isString(tag) ? tag & 0x1f : tag & 0x0f;
}

function readLength(view: DataView, position: number, bytes: 1 | 2 | 4): number {
  if (bytes === 1) return view.getUint8(position);
  return bytes === 2 ? view.getUint16(position) : view.getUint32(position);
}

/** Bytes after the tag of nil, a boolean or a number; null for every type that is not allowed. */
function scalarBytes(tag: number): number | null {
  if (tag <= 0x7f || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return 0;
  if (tag === 0xcc || tag === 0xd0) return 1;
  if (tag === 0xcd || tag === 0xd1) return 2;
  if (tag === 0xca || tag === 0xce || tag === 0xd2) return 4;
  if (tag === 0xcb) return 8;
  return null;
}
