import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { count, name } from './fields.js';
import { type RejectCode, rejections } from './reject.js';

/*
 * The handshake: before it has succeeded nothing else is parsed, and the token itself never crosses the wire.
 *
 *   coordinator → worker   hello    protocol version, run, fresh nonce
 *   worker → coordinator   proof    protocol version, fresh nonce, HMAC as worker
 *   coordinator → worker   welcome  term, worker, incarnation, HMAC as coordinator over these too
 *
 * A proof is bound to its role, so none can be sent back as the other's (reflection); to both nonces, so none
 * serves twice (replay); and to the run. HMAC: RFC 2104 with SHA-256.
 */

export type Role = 'coordinator' | 'worker';

/** Bytes of a nonce, of the operating system's randomness. */
export const nonceBytes = 32;

const hex256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Read alone first: the other fields may mean something else in another version. */
const versioned = z.looseObject({ protocol: count });

const hello = z.strictObject({ type: z.literal('hello'), protocol: count, run: name, nonce: hex256 });
const proof = z.strictObject({ type: z.literal('proof'), protocol: count, nonce: hex256, proof: hex256 });
const welcome = z.strictObject({
  type: z.literal('welcome'),
  term: count,
  worker: count,
  incarnation: count,
  proof: hex256,
});

export type Hello = z.infer<typeof hello>;
export type Proof = z.infer<typeof proof>;
export type Welcome = z.infer<typeof welcome>;

/** Who a worker is to its coordinator for the life of one connection. */
export interface WorkerIdentity {
  readonly run: string;
  /** Of the coordinator; a coordinator that takes over has a higher one. */
  readonly term: number;
  /** The worker's number, from 0. */
  readonly worker: number;
  /** Of this connection; every connection of a run has another one. */
  readonly incarnation: number;
}

interface OurSide {
  readonly token: string;
  readonly protocol: number;
  /** `nonceBytes` of fresh randomness as hexadecimal: never used before. */
  readonly nonce: string;
}

export interface CoordinatorHandshake extends OurSide {
  readonly run: string;
}

export type WorkerHandshake = OurSide &
  ({ readonly phase: 'connected' } | { readonly phase: 'proved'; readonly hello: Hello });

export interface Refusal {
  readonly status: 'refused';
  readonly code: RejectCode;
  readonly detail: string;
}

/** The coordinator's first message. */
export function greet({ protocol, run, nonce }: CoordinatorHandshake): Hello {
  return { type: 'hello', protocol, run, nonce };
}

/** The coordinator's judgement of a worker's answer. `welcome` says who the worker is from now on. */
export function judgeProof(
  handshake: CoordinatorHandshake,
  body: unknown,
): Refusal | { readonly status: 'authenticated'; welcome(identity: Omit<WorkerIdentity, 'run'>): Welcome } {
  const { token, protocol, run, nonce } = handshake;
  const refusal = otherVersion('coordinator', protocol, body);
  if (refusal !== null) return refusal;
  const parsed = proof.safeParse(body);
  if (!parsed.success) return refused('invalid_message');
  const transcript = [protocol, run, nonce, parsed.data.nonce];
  if (parsed.data.nonce === nonce || !isEqual(parsed.data.proof, hmac(token, 'worker', transcript))) {
    return refused('auth_failed');
  }
  return {
    status: 'authenticated',
    welcome: ({ term, worker, incarnation }) => ({
      type: 'welcome',
      term,
      worker,
      incarnation,
      proof: hmac(token, 'coordinator', [...transcript, term, worker, incarnation]),
    }),
  };
}

/** A worker's reaction to one message of the handshake. */
export function answer(
  handshake: WorkerHandshake,
  body: unknown,
):
  | Refusal
  | { readonly status: 'reply'; readonly send: Proof; readonly next: WorkerHandshake }
  | { readonly status: 'authenticated'; readonly identity: WorkerIdentity } {
  const { token, protocol, nonce } = handshake;
  if (handshake.phase === 'connected') {
    const refusal = otherVersion('worker', protocol, body);
    if (refusal !== null) return refusal;
    const parsed = hello.safeParse(body);
    if (!parsed.success) return refused('invalid_message');
    if (parsed.data.nonce === nonce) return refused('auth_failed');
    const transcript = [protocol, parsed.data.run, parsed.data.nonce, nonce];
    return {
      status: 'reply',
      send: { type: 'proof', protocol, nonce, proof: hmac(token, 'worker', transcript) },
      next: { ...handshake, phase: 'proved', hello: parsed.data },
    };
  }
  const parsed = welcome.safeParse(body);
  if (!parsed.success) return refused('invalid_message');
  const { run, nonce: theirs } = handshake.hello;
  const { term, worker, incarnation } = parsed.data;
  const expected = hmac(token, 'coordinator', [protocol, run, theirs, nonce, term, worker, incarnation]);
  if (!isEqual(parsed.data.proof, expected)) return refused('auth_failed');
  return { status: 'authenticated', identity: { run, term, worker, incarnation } };
}

/** HMAC over the role and the transcript; JSON keeps any two transcripts apart. */
function hmac(token: string, role: Role, transcript: readonly (string | number)[]): string {
  return createHmac('sha256', token)
    .update(JSON.stringify(['lockstep', role, ...transcript]))
    .digest('hex');
}

function isEqual(received: string, expected: string): boolean {
  return timingSafeEqual(Buffer.from(received, 'hex'), Buffer.from(expected, 'hex'));
}

function otherVersion(ourRole: Role, ours: number, body: unknown): Refusal | null {
  const parsed = versioned.safeParse(body);
  if (!parsed.success || parsed.data.protocol === ours) return null;
  const theirs = parsed.data.protocol;
  const [coordinator, worker] = ourRole === 'coordinator' ? [ours, theirs] : [theirs, ours];
  const detail = `The coordinator speaks version ${coordinator} of the protocol, the worker version ${worker}.`;
  return { status: 'refused', code: 'protocol_version', detail };
}

function refused(code: RejectCode): Refusal {
  return { status: 'refused', code, detail: rejections[code] };
}
