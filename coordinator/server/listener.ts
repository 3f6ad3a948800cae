import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type Clock, systemClock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { greet, judgeProof, nonceBytes } from '../../shared/protocol/auth.js';
import { type CoordinatorSession, coordinatorSession } from '../../shared/protocol/session.js';
import { protocolVersion } from '../../shared/protocol/version.js';
import {
  type CloseCode,
  type Connection,
  type ConnectionLimits,
  peerLimits,
} from '../../shared/transport/connection.js';
import { bind, isLocal, type ListenAddress } from './bind.js';
import { createSocketServer, type TlsOptions } from './socket-server.js';
import { type StrangerLimits, Strangers } from './strangers.js';

export interface ListenerLimits extends StrangerLimits {
  /** Authenticated connections, at one time. */
  readonly maxPeers: number;
  /** Of an authenticated connection. */
  readonly peer: ConnectionLimits;
}

export const listenerDefaults: ListenerLimits = {
  maxStrangers: 256,
  handshakeTimeoutMs: 10_000,
  maxFailures: 20,
  failureWindowMs: 60_000,
  maxPeers: 1_024,
  peer: peerLimits,
};

/** A worker that holds the token. `session.identity` has its number and incarnation. */
export interface AuthenticatedPeer {
  readonly session: CoordinatorSession;
  readonly worker: number;
  readonly incarnation: number;
}

export interface ListenOptions {
  readonly address: ListenAddress;
  readonly token: string;
  readonly runId: string;
  readonly term: number;
  readonly log: Logger;
  /** Called once per authenticated connection; set the session's `onMessage` within the call or later. */
  readonly onPeer: (peer: AuthenticatedPeer) => void;
  readonly tls?: TlsOptions | null;
  /** Allows an address that other machines reach without TLS. */
  readonly insecure?: boolean;
  readonly limits?: Partial<ListenerLimits>;
  readonly clock?: Clock;
  readonly protocol?: number;
}

export interface Listener {
  /** What a worker on this machine joins with. */
  readonly url: string;
  /** Connections that have not authenticated. */
  readonly strangers: number;
  /** Ends every connection with `goodbye` and frees the address; resolves when nothing is left. */
  close(): Promise<void>;
}

/**
 * Listens for workers and authenticates them; whoever does not hold the token is turned away and logged.
 * @throws LockstepError ADDRESS_IN_USE; BAD_OPTION if the address cannot be used, is reachable by other machines
 * without TLS and not `insecure`, or certificate and key do not fit
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { address, tls = null, insecure = false, clock = systemClock, log } = options;
  const limits = { ...listenerDefaults, ...options.limits };
  if (!isLocal(address) && tls === null && !insecure) {
    throw new LockstepError('BAD_OPTION', 'other machines can reach this address, and it has no TLS', {
      hint: 'Give --tls-cert and --tls-key, or --insecure on a network where nobody listens in.',
    });
  }
  const strangers = new Strangers(limits, clock);
  const peers = new Set<Connection>();
  let admitted = 0;

  const welcome = (connection: Connection, stream: Duplex): CoordinatorSession => {
    strangers.release(stream);
    peers.add(connection);
    connection.closed.then(() => peers.delete(connection));
    connection.setLimits(limits.peer);
    const identity = { run: options.runId, term: options.term, worker: admitted, incarnation: admitted };
    admitted += 1;
    return coordinatorSession(connection, identity);
  };

  const server = createSocketServer({
    tls,
    maxConnections: limits.maxPeers + limits.maxStrangers,
    openingTimeoutMs: limits.handshakeTimeoutMs,
    admit: (stream) => {
      const admitting = strangers.admit(stream);
      if (!admitting) log.warn({ strangers: strangers.size }, 'too many strangers: one is not let in');
      return admitting;
    },
    onConnection: (connection, stream, from) => {
      strangers.connected(stream, connection);
      let standing: 'stranger' | 'refused' | 'worker' = 'stranger';
      connection.closed.then((info) => {
        if (standing === 'worker') return;
        if (standing === 'stranger' && isFailure(info.code)) strangers.failed(from);
        log.warn(
          { peer: connection.peer, code: info.code, by: info.by, reason: info.reason },
          'stranger left',
        );
      });
      if (strangers.isBarred(from)) {
        connection.close('too_many_strangers', 'Too many attempts from your address failed; wait a minute.');
        return;
      }
      const handshake = {
        token: options.token,
        protocol: options.protocol ?? protocolVersion,
        run: options.runId,
        nonce: randomBytes(nonceBytes).toString('hex'),
      };
      connection.onMessage((body) => {
        const judged = judgeProof(handshake, body);
        if (judged.status === 'refused') {
          standing = 'refused';
          if (isFailure(judged.code)) strangers.failed(from);
          connection.close(judged.code, judged.detail);
          return;
        }
        standing = 'worker';
        const session = welcome(connection, stream);
        connection.send(judged.welcome(session.identity));
        const { worker, incarnation } = session.identity;
        log.debug({ peer: connection.peer, worker, incarnation }, 'worker authenticated');
        options.onPeer({ session, worker, incarnation });
      });
      connection.send(greet(handshake));
    },
  });

  const binding = await bind(server, address, tls === null ? 'ws' : 'wss');
  server.on('error', (error) => log.error({ error }, 'listener'));
  const end = async (): Promise<void> => {
    const ended = new Promise<void>((resolve) => void server.close(() => resolve()));
    strangers.dismiss();
    for (const peer of peers) peer.close('goodbye');
    await ended;
    await binding.release();
  };
  let ending: Promise<void> | null = null;
  return {
    url: binding.url,
    get strangers() {
      return strangers.size;
    },
    close: () => {
      ending ??= end();
      return ending;
    },
  };
}

/** Ends that a peer which holds the token does not come to. */
function isFailure(code: CloseCode): boolean {
  return (
    code !== 'goodbye' && code !== 'lost' && code !== 'protocol_version' && code !== 'too_many_strangers'
  );
}
