/** Why a step cannot be compiled: an answer, not a fault. Whoever asked computes op by op, or reports it. */
export class CompileRefusal extends Error {
  override name = 'CompileRefusal';
  readonly kernel: string | null;
  readonly layer: string | null;

  /** @param layer path of the layer at work, or null outside of one, as in the backward pass */
  constructor(
    reason: string,
    { kernel = null, layer = null }: { kernel?: string | null; layer?: string | null },
  ) {
    super(`${reason}${layer === null ? '' : ` (layer ${layer})`}`);
    this.kernel = kernel;
    this.layer = layer;
  }
}
