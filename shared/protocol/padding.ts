const zeros = new Uint8Array(8);

/** Everything in a frame starts at a multiple of this, so that any typed array can view it in place. */
const alignment = 8;

/** `bytes` rounded up to the alignment. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** The arrays' bytes with zeros between them, so that each starts aligned. Nothing is copied. */
export function joinPadded(sections: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (const section of sections) {
    if (section.byteLength > 0) pieces.push(section);
    const gap = padded(section.byteLength) - section.byteLength;
    if (gap > 0) pieces.push(zeros.subarray(0, gap));
  }
  return pieces;
}
