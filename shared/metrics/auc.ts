/**
 * The area under the ROC curve of float32 triples (score, label, weight), exact: the weighted share of pairs
 * (positive, negative) in which the positive has the higher score, ties counting one half (Hanley & McNeil,
 * 1982). A label is positive unless it is 0, as in Keras. 0 if a class is missing; NaN if a score is NaN.
 */
export function areaUnderRoc(triples: Float32Array): number {
  const rows = triples.length / 3;
  const order = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    if (Number.isNaN(triples[row * 3])) return Number.NaN;
    order[row] = row;
  }
  order.sort((a, b) => triples[a * 3] - triples[b * 3] || a - b);
  let area = 0;
  let negativesBelow = 0;
  let positives = 0;
  for (let begin = 0; begin < rows; ) {
    const score = triples[order[begin] * 3];
    let tiedPositives = 0;
    let tiedNegatives = 0;
    let end = begin;
    for (; end < rows && triples[order[end] * 3] === score; end++) {
      const weight = triples[order[end] * 3 + 2];
      if (triples[order[end] * 3 + 1] !== 0) tiedPositives += weight;
      else tiedNegatives += weight;
    }
    area += tiedPositives * (negativesBelow + tiedNegatives / 2);
    negativesBelow += tiedNegatives;
    positives += tiedPositives;
    begin = end;
  }
  const pairs = positives * negativesBelow;
  return pairs === 0 ? 0 : area / pairs;
}
