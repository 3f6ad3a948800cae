import {
  type HandshakeOptions,
  type Joined,
  type JoinOptions,
  join,
  shakeHands,
} from '../shared/protocol/join.js';
import { type WorkerSession, workerSession } from '../shared/protocol/session.js';
import { type Connection, type ConnectionLimits, unpreparedLimits } from '../shared/transport/connection.js';

export interface ConnectOptions extends Omit<JoinOptions, 'role'> {
  /** Of the authenticated connection, until its owner sets others. Default: messages, but no payloads. */
  readonly limits?: ConnectionLimits;
}

/**
 * Joins a run: connects and authenticates both ways. The session's `identity` says who the worker is.
 * @throws LockstepError as shared/protocol/join.ts does
 */
export function connect({ limits, ...options }: ConnectOptions): Promise<WorkerSession> {
  return join({ ...options, role: 'worker' }, sessionWith(limits));
}

/**
 * The worker's side of the handshake, over a connection that has said nothing yet.
 * @throws LockstepError as `connect` does
 */
export function authenticate(
  connection: Connection,
  { limits, ...options }: Omit<HandshakeOptions, 'role'> & Pick<ConnectOptions, 'limits'>,
): Promise<WorkerSession> {
  return shakeHands(connection, { ...options, role: 'worker' }, sessionWith(limits));
}

function sessionWith(limits: ConnectionLimits = unpreparedLimits): (joined: Joined) => WorkerSession {
  return ({ connection, identity }) => {
    connection.setLimits(limits);
    return workerSession(connection, identity);
  };
}
