import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answer,
  type CoordinatorHandshake,
  greet,
  judgeProof,
  type PeerHandshake,
  type Proof,
  type Welcome,
  type WorkerIdentity,
} from '../../shared/protocol/auth.js';

const token = 'a token of enough characters';
const theirs: CoordinatorHandshake = { token, protocol: 1, nonce: 'c0'.repeat(32) };
const ours: PeerHandshake = {
  phase: 'connected',
  role: 'worker',
  token,
  protocol: 1,
  nonce: 'd0'.repeat(32),
};
const identity: WorkerIdentity = { run: 'run-1', term: 3, worker: 2, incarnation: 5 };

function prove(
  worker: PeerHandshake = ours,
  hello: unknown = greet(theirs),
): { proof: Proof; next: PeerHandshake } {
  const step = answer(worker, hello);
  if (step.status !== 'reply') throw new TypeError(`expected a reply, got ${step.status}`);
  return { proof: step.send, next: step.next };
}

function welcomeFor(proof: Proof, coordinator = theirs): Welcome {
  const judged = judgeProof(coordinator, proof);
  if (judged.status !== 'authenticated') throw new TypeError(`expected a welcome, got ${judged.code}`);
  return judged.welcome(identity);
}

describe('the handshake', () => {
  it('authenticates both sides and tells the worker who it is', () => {
    const { proof, next } = prove();
    expect(answer(next, welcomeFor(proof))).toEqual({ status: 'authenticated', identity });
  });

  it('proves with HMAC-SHA-256 over role, version and both nonces', () => {
    const hmac = createHmac('sha256', token)
      .update(`["lockstep","worker",1,"${theirs.nonce}","${ours.nonce}"]`)
      .digest('hex');
    expect(prove().proof.proof).toBe(hmac);
  });

  it('never sends the token', () => {
    const { proof } = prove();
    const said = JSON.stringify([greet(theirs), proof, welcomeFor(proof)]);
    expect(said).not.toContain(token);
    expect(said).not.toContain(Buffer.from(token).toString('hex'));
  });

  it('tells a stranger the version of the protocol and a nonce, and nothing else', () => {
    expect(greet(theirs)).toEqual({ type: 'hello', protocol: 1, nonce: theirs.nonce });
  });

  it('knows a peer that computes from one that only looks', () => {
    for (const role of ['worker', 'observer'] as const) {
      const { proof, next } = prove({ ...ours, role });
      expect(judgeProof(theirs, proof)).toMatchObject({ status: 'authenticated', role });
      expect(answer(next, welcomeFor(proof))).toMatchObject({ status: 'authenticated' });
      const other = role === 'worker' ? 'observer' : 'worker';
      expect(answer({ ...next, role: other }, welcomeFor(proof))).toMatchObject({ code: 'auth_failed' });
    }
  });

  it('turns away a worker with another token, before anything about the run is said', () => {
    const { proof } = prove({ ...ours, token: 'another token of enough characters' });
    expect(judgeProof(theirs, proof)).toMatchObject({ status: 'refused', code: 'auth_failed' });
  });

  it('makes a worker refuse a coordinator that does not hold the token', () => {
    const { proof, next } = prove();
    const impostor: Welcome = { ...welcomeFor(proof), proof: 'ab'.repeat(32) };
    expect(answer(next, impostor)).toMatchObject({ status: 'refused', code: 'auth_failed' });
  });

  it('makes a worker refuse a welcome whose run, term, number or incarnation was changed on the way', () => {
    const { proof, next } = prove();
    for (const change of [{ run: 'run-2' }, { term: 77 }, { worker: 77 }, { incarnation: 77 }]) {
      const changed = { ...welcomeFor(proof), ...change };
      expect(answer(next, changed)).toMatchObject({ status: 'refused', code: 'auth_failed' });
    }
  });

  it('does not accept a proof sent back to the side that made it', () => {
    const { proof, next } = prove();
    const reflected = { type: 'welcome', ...identity, proof: proof.proof };
    expect(answer(next, reflected)).toMatchObject({ status: 'refused', code: 'auth_failed' });
    const welcome = welcomeFor(proof);
    expect(judgeProof(theirs, { ...proof, proof: welcome.proof })).toMatchObject({ code: 'auth_failed' });
    expect(answer({ ...ours, nonce: theirs.nonce }, greet(theirs))).toMatchObject({ code: 'auth_failed' });
    expect(judgeProof(theirs, prove({ ...ours, nonce: 'e0'.repeat(32) }).proof).status).toBe('authenticated');
    expect(judgeProof({ ...theirs, nonce: proof.nonce }, proof)).toMatchObject({ code: 'auth_failed' });
  });

  it('does not accept a proof of another connection, role or nonce', () => {
    const { proof, next } = prove();
    const again: CoordinatorHandshake = { ...theirs, nonce: 'ee'.repeat(32) };
    expect(judgeProof(again, proof)).toMatchObject({ code: 'auth_failed' });
    expect(judgeProof(theirs, { ...proof, role: 'observer' })).toMatchObject({ code: 'auth_failed' });
    const otherWelcome = welcomeFor(prove({ ...ours, nonce: 'ff'.repeat(32) }).proof);
    expect(answer(next, otherWelcome)).toMatchObject({ code: 'auth_failed' });
  });

  it('names both versions when they differ, whatever else the other version says', () => {
    const newer = { type: 'hello', protocol: 2, something: { quite: 'different' } };
    expect(answer(ours, newer)).toEqual({
      status: 'refused',
      code: 'protocol_version',
      detail: 'The coordinator speaks version 2 of the protocol, the worker version 1.',
    });
    expect(judgeProof(theirs, { protocol: 9 })).toEqual({
      status: 'refused',
      code: 'protocol_version',
      detail: 'The coordinator speaks version 1 of the protocol, the peer version 9.',
    });
  });

  it('refuses messages out of order', () => {
    const { proof, next } = prove();
    expect(answer(ours, welcomeFor(proof))).toMatchObject({ code: 'invalid_message' });
    expect(answer(next, greet(theirs))).toMatchObject({ code: 'invalid_message' });
    expect(judgeProof(theirs, greet(theirs))).toMatchObject({ code: 'invalid_message' });
  });

  it('refuses, and never throws on, anything a stranger may say', () => {
    const proof = prove().proof;
    const near = fc.record({
      type: fc.constantFrom('hello', 'proof', 'welcome'),
      protocol: fc.constant(1),
      nonce: fc.oneof(fc.constant(proof.nonce), fc.string()),
      proof: fc.oneof(fc.string(), fc.constant('00'.repeat(32)), fc.constant('0'.repeat(63)), fc.anything()),
    });
    fc.assert(
      fc.property(fc.oneof(fc.anything(), near), (body) => {
        expect(judgeProof(theirs, body).status).toBe('refused');
        expect(answer(prove().next, body).status).toBe('refused');
        expect(answer(ours, body).status).toBe('refused');
      }),
    );
  });
});
