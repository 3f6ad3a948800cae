import { createHash } from 'node:crypto';
import { isOpen } from '../../shared/backends.js';
import { type Fingerprint, fingerprintDifference } from '../../shared/fingerprint.js';
import { oneLine } from '../../shared/one-line.js';
import type { RejectCode } from '../../shared/protocol/reject.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import type { ProgramSetup } from '../round.js';

/** What the bits of a run are compared with. */
export interface RunReference {
  /** What they depend on besides the job; null before the first worker was ready. */
  readonly fingerprint: Fingerprint | null;
  /** What the canary shard of a program came to, both as SHA-256; null where there is none. */
  readonly canary: { readonly program: string; readonly sha256: string } | null;
  /** How workers that were admitted all the same differ from it: then nobody can compute the run's bits again. */
  readonly mixed: readonly string[];
}

export const noReference: RunReference = { fingerprint: null, canary: null, mixed: [] };

export type Verdict =
  | {
      readonly status: 'admitted';
      /** Of the worker that the others must be like: why it computes op by op, if it preferred not to. */
      readonly fallback?: string;
    }
  /** Its results could differ, or do; the run is labelled with it. */
  | { readonly status: 'mixed'; readonly why: string }
  | { readonly status: 'refused'; readonly code: RejectCode; readonly why: string };

/** Differences that a run is labelled with, at most: one is enough to say what it is. */
const maxMixed = 20;

/** Decides which workers may compute for a run: those that would give its bits. */
export class Admission {
  readonly #allowMixed: boolean;
  #reference = noReference;
  /** Whether the reference says what the canary comes to, be it that there is none. */
  #hasCanary = false;
  #program = '';

  constructor({ allowMixed = false }: { readonly allowMixed?: boolean }) {
    this.#allowMixed = allowMixed;
  }

  get reference(): RunReference {
    return this.#reference;
  }

  /** Begins with another program, in the place where a run stands that goes on. */
  begin({ message, reference }: Pick<ProgramSetup, 'message' | 'reference'>): void {
    const { program, jobSha256, canary: asked } = message;
    this.#program = createHash('sha256')
      .update(JSON.stringify([program, jobSha256, asked]))
      .digest('hex');
    const { fingerprint, canary, mixed } = reference ?? {
      ...noReference,
      // Another model may ask for another backend, where the choice is open.
      fingerprint: isOpen(message.backend) ? null : this.#reference.fingerprint,
    };
    // A run may go on with other metrics: then its canary is another, and nobody has computed it.
    const known = canary?.program === this.#program ? canary : null;
    this.#hasCanary = known !== null;
    this.#reference = { fingerprint, canary: known, mixed };
  }

  /** The first worker that is ready sets what others are compared with, unless the run has gone on before. */
  judge(ready: ToCoordinatorOf<'ready'>, expectedManifestHash: string): Verdict {
    if (ready.manifestHash !== expectedManifestHash)
      return { status: 'refused', code: 'manifest_mismatch', why: 'its model has other weights' };
    const { fingerprint, canary } = this.#reference;
    const difference = differenceOf(this.#reference, ready);
    if (difference !== null) {
      if (!this.#allowMixed) return { status: 'refused', code: 'fingerprint_mismatch', why: difference };
      this.#label(difference);
      return { status: 'mixed', why: difference };
    }
    const own = ready.canary === null ? null : { program: this.#program, sha256: ready.canary.sha256 };
    this.#reference = {
      ...this.#reference,
      fingerprint: fingerprint ?? ready.fingerprint,
      canary: this.#hasCanary ? canary : own,
    };
    this.#hasCanary = true;
    return fingerprint === null && ready.fallback !== null
      ? { status: 'admitted', fallback: oneLine(ready.fallback) }
      : { status: 'admitted' };
  }

  #label(difference: string): void {
    const { mixed } = this.#reference;
    if (mixed.includes(difference) || mixed.length >= maxMixed) return;
    this.#reference = { ...this.#reference, mixed: [...mixed, difference] };
  }
}

/** What people are told of a worker that is taken, if anything. */
export function noteOf(verdict: Verdict, worker: number): string | null {
  if (verdict.status === 'mixed')
    return `worker ${worker} is admitted, so the run cannot be reproduced bit by bit: ${verdict.why}`;
  return verdict.status === 'admitted' ? (verdict.fallback ?? null) : null;
}

function differenceOf({ fingerprint, canary }: RunReference, ready: ToCoordinatorOf<'ready'>): string | null {
  const fields = fingerprint === null ? '' : fingerprintDifference(fingerprint, ready.fingerprint);
  if (fields !== '') return `its results could differ in their bits: ${fields}`;
  if (canary === null || ready.canary?.sha256 === canary.sha256) return null;
  return 'its canary shard has other bits, though nothing that it says of itself differs';
}
