import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.js';
import { type Connection, strangerLimits } from '../transport/connection.js';
import type { SharedMemory } from '../transport/shared-memory.js';
import { openWebSocket } from '../transport/websocket-client.js';
import { answer, nonceBytes, type PeerHandshake, type PeerRole, type WorkerIdentity } from './auth.js';
import { closeError } from './close-error.js';
import { protocolVersion } from './version.js';

export interface HandshakeOptions {
  readonly role: PeerRole;
  readonly token: string;
  /** For the connection, and again for the handshake. Default 10 seconds. */
  readonly timeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly protocol?: number | undefined;
}

export interface JoinOptions extends HandshakeOptions {
  /** `ws://host:port`, `wss://host:port` or `ws+unix:/path`. */
  readonly url: string;
  /** PEM certificates to trust instead of the system's, for `wss:`. */
  readonly ca?: string | undefined;
  /** Shared with the coordinator, which started this process; for the connection once it is authenticated. */
  readonly memory?: SharedMemory | undefined;
}

/** A connection to a coordinator that has proved itself, with the limits of a stranger still. */
export interface Joined {
  readonly connection: Connection;
  readonly identity: WorkerIdentity;
}

/**
 * Connects to a coordinator and authenticates both ways.
 * @param settle called in the same turn in which the coordinator has proved itself: what it says next may follow at
 * once, so that the limits must be set and the connection listened to within the call
 * @throws LockstepError BAD_OPTION for a bad URL; CONNECTION_LOST if the coordinator cannot be reached, hangs up
 * or takes too long; AUTH_FAILED if either side does not hold the token; PROTOCOL_VERSION if the versions
 * differ; PEER_MISBEHAVED if it does not keep to the handshake
 */
export async function join<T>(options: JoinOptions, settle: (joined: Joined) => T): Promise<T> {
  const { url, ca, memory, timeoutMs = 10_000 } = options;
  const connection = await openWebSocket({ url, ca, timeoutMs, limits: strangerLimits });
  return shakeHands(connection, options, (joined) => {
    if (memory !== undefined) connection.share(memory.lineFor({ begins: false }));
    return settle(joined);
  });
}

/**
 * A peer's side of the handshake, over a connection that has said nothing yet.
 * @throws LockstepError as `join` does
 */
export function shakeHands<T>(
  connection: Connection,
  { role, token, timeoutMs = 10_000, clock = systemClock, protocol = protocolVersion }: HandshakeOptions,
  settle: (joined: Joined) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const nonce = randomBytes(nonceBytes).toString('hex');
    let handshake: PeerHandshake = { phase: 'connected', role, token, protocol, nonce };
    const cancelDeadline = clock.after(timeoutMs, () => connection.close('handshake_timeout'));
    connection.closed.then((info) => {
      cancelDeadline();
      reject(closeError(info, connection.peer));
    });
    connection.onMessage((body) => {
      const step = answer(handshake, body);
      switch (step.status) {
        case 'refused':
          connection.close(step.code, step.detail);
          return;
        case 'reply':
          handshake = step.next;
          connection.send(step.send);
          return;
        case 'authenticated':
          cancelDeadline();
          resolve(settle({ connection, identity: step.identity }));
      }
    });
  });
}
