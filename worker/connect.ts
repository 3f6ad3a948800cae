import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../shared/clock.js';
import { answer, nonceBytes, type WorkerHandshake } from '../shared/protocol/auth.js';
import { closeError } from '../shared/protocol/close-error.js';
import { type WorkerSession, workerSession } from '../shared/protocol/session.js';
import { protocolVersion } from '../shared/protocol/version.js';
import {
  type Connection,
  type ConnectionLimits,
  peerLimits,
  strangerLimits,
} from '../shared/transport/connection.js';
import { openWebSocket } from '../shared/transport/websocket-client.js';

export interface ConnectOptions {
  /** `ws://host:port`, `wss://host:port` or `ws+unix:/path`. */
  readonly url: string;
  readonly token: string;
  /** PEM certificates to trust instead of the system's, for `wss:`. */
  readonly ca?: string | undefined;
  /** For the connection, and again for the handshake. Default 10 seconds. */
  readonly timeoutMs?: number;
  /** Of the authenticated connection. */
  readonly limits?: ConnectionLimits;
  readonly clock?: Clock;
  readonly protocol?: number;
}

/**
 * Joins a run: connects and authenticates both ways. The session's `identity` says who the worker is.
 * @throws LockstepError BAD_OPTION for a bad URL; CONNECTION_LOST if the coordinator cannot be reached, hangs up
 * or takes too long; AUTH_FAILED if either side does not hold the token; PROTOCOL_VERSION if the versions
 * differ; PEER_MISBEHAVED if it does not keep to the handshake
 */
export async function connect(options: ConnectOptions): Promise<WorkerSession> {
  const { url, ca, timeoutMs = 10_000 } = options;
  const connection = await openWebSocket({ url, ca, timeoutMs, limits: strangerLimits });
  return authenticate(connection, options);
}

/**
 * The worker's side of the handshake, over a connection that has said nothing yet.
 * @throws LockstepError as `connect` does
 */
export function authenticate(
  connection: Connection,
  {
    token,
    timeoutMs = 10_000,
    limits = peerLimits,
    clock = systemClock,
    protocol = protocolVersion,
  }: Omit<ConnectOptions, 'url' | 'ca'>,
): Promise<WorkerSession> {
  return new Promise((resolve, reject) => {
    const nonce = randomBytes(nonceBytes).toString('hex');
    let handshake: WorkerHandshake = { phase: 'connected', token, protocol, nonce };
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
          connection.setLimits(limits);
          resolve(workerSession(connection, step.identity));
      }
    });
  });
}
