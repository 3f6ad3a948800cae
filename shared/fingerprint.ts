import { createHash } from 'node:crypto';
import { z } from 'zod';
import { backendNames } from './backends.js';

const text = z.string().max(1_000);

/**
 * What the bits of a result depend on besides the job: equal fingerprints promise equal bits. Flat, so that it
 * travels and prints as it is. Fields that cannot matter for a backend are null there.
 */
export const fingerprintSchema = z.strictObject({
  backend: z.enum(backendNames),
  /** How the model is executed: op by op, or as a graph written by this version of the emitter. */
  program: z.union([z.literal('eager'), z.templateLiteral(['compiled@', z.int()])]),
  lockstep: text,
  tfjs: text,
  /** Name and version of the package that brings the kernels, e.g. `@tensorflow/tfjs-node@4.22.0`. */
  kernels: text,
  /** Version of the native library below the package. */
  libtensorflow: text.nullable(),
  node: text,
  arch: text,
  /** Native kernels choose their code by the processor; wasm and JavaScript are specified to the bit. */
  cpuModel: text.nullable(),
  /** The processor's vector extensions, in alphabetical order; for wasm, the ones the module uses. */
  instructionSet: text.nullable(),
  /** Model and driver of the accelerator that computes. */
  device: text.nullable(),
  /** Compute threads; they decide how sums are split. */
  threads: z.int().positive(),
  /** Variables of the environment that change how native kernels add up, e.g. `TF_DETERMINISTIC_OPS=1`. */
  flags: text.nullable(),
});

export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** Which fields differ and how, for people; empty if none does. */
export function fingerprintDifference(expected: Fingerprint, got: Fingerprint): string {
  const fields = Object.keys(expected) as (keyof Fingerprint)[];
  return fields
    .filter((field) => expected[field] !== got[field])
    .map((field) => `${field} is ${got[field]}, not ${expected[field]}`)
    .join('; ');
}

/** SHA-256, as lower-case hexadecimal, of the fingerprint as JSON with its keys in alphabetical order. */
export function fingerprintHash(fingerprint: Fingerprint): string {
  const sorted = Object.entries(fingerprint).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(sorted)))
    .digest('hex');
}
