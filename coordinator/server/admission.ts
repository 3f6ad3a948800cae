import { type Fingerprint, fingerprintDifference, fingerprintHash } from '../../shared/fingerprint.js';
import type { RejectCode } from '../../shared/protocol/reject.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';

/** Decides which workers may compute for a run: those that would give its bits. */
export class Admission {
  #reference: Fingerprint | null = null;

  /** What the run's bits depend on: the fingerprint of the first worker that was ready; null before. */
  get reference(): Fingerprint | null {
    return this.#reference;
  }

  /** Why a worker cannot be admitted, or null. */
  judge(
    { manifestHash, fingerprint }: ToCoordinatorOf<'ready'>,
    expectedManifestHash: string,
  ): { readonly code: RejectCode; readonly why: string } | null {
    if (manifestHash !== expectedManifestHash)
      return { code: 'manifest_mismatch', why: 'its model has other weights' };
    this.#reference ??= fingerprint;
    if (fingerprintHash(fingerprint) === fingerprintHash(this.#reference)) return null;
    const difference = fingerprintDifference(this.#reference, fingerprint);
    return { code: 'fingerprint_mismatch', why: `its results could differ in their bits: ${difference}` };
  }
}
