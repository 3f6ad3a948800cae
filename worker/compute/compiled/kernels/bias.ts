import type { Value } from '../graph.js';
import type { Lowering } from '../lowering.js';

/** The Add that alone takes a value, and adds one number per channel: some operators do that in the same pass. */
export function biasAfter(output: Value, lowering: Lowering): { bias: Value; sum: Value } | null {
  const add = lowering.soleConsumerOf(output);
  if (add?.kernel !== 'Add') return null;
  const { a, b } = add.inputs;
  const bias = a === output ? b : a;
  const fits = bias.shape.length === 1 && bias.shape[0] === output.shape.at(-1) && lowering.has(bias);
  return fits ? { bias, sum: add.outputs[0] } : null;
}
