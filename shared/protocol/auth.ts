import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { count, name } from './fields.js';
import { type RejectCode, rejections } from './reject.js';

/*
 * The handshake: before it has succeeded nothing else is parsed, and the token itself never crosses the wire.
 *
 *   coordinator → peer   hello    protocol version, fresh nonce: a stranger learns no more
 *   peer → coordinator   proof    protocol version, role, fresh nonce, HMAC in that role
 *   coordinator → peer   welcome  run, term, worker, incarnation, HMAC as coordinator over these too
 *
 * A proof is bound to its role, so none can be sent back as another's (reflection), and to both nonces, so none
 * serves twice (replay). HMAC: RFC 2104 with SHA-256.
 */

/** What a peer that joins a coordinator may be: one that computes, or one that only looks. */
export const peerRole = z.enum(['worker', 'observer']);

export type PeerRole = z.infer<typeof peerRole>;

/** Bytes of a nonce, of the operating system's randomness. */
export const nonceBytes = 32;

const hex256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Read alone first: the other fields may mean something else in another version. */
const versioned = z.looseObject({ protocol: count });

const hello = z.strictObject({ type: z.literal('hello'), protocol: count, nonce: hex256 });
const proof = z.strictObject({
  type: z.literal('proof'),
  protocol: count,
  role: peerRole,
  nonce: hex256,
  proof: hex256,
});
const welcome = z.strictObject({
  type: z.literal('welcome'),
  run: name,
  term: count,
  worker: count,
  incarnation: count,
  proof: hex256,
});

export type Hello = z.infer<typeof hello>;
export type Proof = z.infer<typeof proof>;
export type Welcome = z.infer<typeof welcome>;

/** Who a peer is to its coordinator for the life of one connection. */
export interface WorkerIdentity {
  readonly run: string;
  /** Of the coordinator; a coordinator that takes over has a higher one. */
  readonly term: number;
  /** The worker's number, from 0; of no meaning for an observer. */
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

export type CoordinatorHandshake = OurSide;

export type PeerHandshake = OurSide & { readonly role: PeerRole } & (
    | { readonly phase: 'connected' }
    | { readonly phase: 'proved'; readonly hello: Hello }
  );

export interface Refusal {
  readonly status: 'refused';
  readonly code: RejectCode;
  readonly detail: string;
}

/** The coordinator's first message. */
export function greet({ protocol, nonce }: CoordinatorHandshake): Hello {
  return { type: 'hello', protocol, nonce };
}

/** The coordinator's judgement of a peer's answer. `welcome` says who the peer is from now on. */
export function judgeProof(
  handshake: CoordinatorHandshake,
  body: unknown,
):
  | Refusal
  | {
      readonly status: 'authenticated';
      readonly role: PeerRole;
      welcome(identity: WorkerIdentity): Welcome;
    } {
  const { token, protocol, nonce } = handshake;
  const refusal = otherVersion('coordinator', protocol, body);
  if (refusal !== null) return refusal;
  const parsed = proof.safeParse(body);
  if (!parsed.success) return refused('invalid_message');
  const { role, nonce: theirs } = parsed.data;
  const transcript = [protocol, nonce, theirs];
  if (theirs === nonce || !isEqual(parsed.data.proof, hmac(token, role, transcript))) {
    return refused('auth_failed');
  }
  return {
    status: 'authenticated',
    role,
    welcome: (identity) => {
      const { run, term, worker, incarnation } = identity;
      const said = [...transcript, role, run, term, worker, incarnation];
      return { type: 'welcome', ...identity, proof: hmac(token, 'coordinator', said) };
    },
  };
}

/** A peer's reaction to one message of the handshake. */
export function answer(
  handshake: PeerHandshake,
  body: unknown,
):
  | Refusal
  | { readonly status: 'reply'; readonly send: Proof; readonly next: PeerHandshake }
  | { readonly status: 'authenticated'; readonly identity: WorkerIdentity } {
  const { token, protocol, role, nonce } = handshake;
  if (handshake.phase === 'connected') {
    const refusal = otherVersion(role, protocol, body);
    if (refusal !== null) return refusal;
    const parsed = hello.safeParse(body);
    if (!parsed.success) return refused('invalid_message');
    if (parsed.data.nonce === nonce) return refused('auth_failed');
    return {
      status: 'reply',
      send: {
        type: 'proof',
        protocol,
        role,
        nonce,
        proof: hmac(token, role, [protocol, parsed.data.nonce, nonce]),
      },
      next: { ...handshake, phase: 'proved', hello: parsed.data },
    };
  }
  const parsed = welcome.safeParse(body);
  if (!parsed.success) return refused('invalid_message');
  const { run, term, worker, incarnation } = parsed.data;
  const said = [protocol, handshake.hello.nonce, nonce, role, run, term, worker, incarnation];
  if (!isEqual(parsed.data.proof, hmac(token, 'coordinator', said))) return refused('auth_failed');
  return { status: 'authenticated', identity: { run, term, worker, incarnation } };
}

/** HMAC over the role and the transcript; JSON keeps any two transcripts apart. */
function hmac(
  token: string,
  role: PeerRole | 'coordinator',
  transcript: readonly (string | number)[],
): string {
  return createHmac('sha256', token)
    .update(JSON.stringify(['lockstep', role, ...transcript]))
    .digest('hex');
}

function isEqual(received: string, expected: string): boolean {
  return timingSafeEqual(Buffer.from(received, 'hex'), Buffer.from(expected, 'hex'));
}

function otherVersion(us: PeerRole | 'coordinator', ours: number, body: unknown): Refusal | null {
  const parsed = versioned.safeParse(body);
  if (!parsed.success || parsed.data.protocol === ours) return null;
  const theirs = parsed.data.protocol;
  const [coordinator, peer] = us === 'coordinator' ? [ours, theirs] : [theirs, ours];
  const who = us === 'coordinator' ? 'peer' : us;
  const detail = `The coordinator speaks version ${coordinator} of the protocol, the ${who} version ${peer}.`;
  return { status: 'refused', code: 'protocol_version', detail };
}

function refused(code: RejectCode): Refusal {
  return { status: 'refused', code, detail: rejections[code] };
}
