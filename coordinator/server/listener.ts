import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { greet, judgeProof, nonceBytes, type PeerRole } from '../../shared/protocol/auth.js';
import {
  type CoordinatorSession,
  coordinatorSession,
  type ObservedSession,
  observedSession,
} from '../../shared/protocol/session.js';
import { protocolVersion } from '../../shared/protocol/version.js';
import {
  type CloseInfo,
  type Connection,
  type ConnectionLimits,
  strangerLimits,
  unpreparedLimits,
} from '../../shared/transport/connection.js';
import type { SharedMemory } from '../../shared/transport/shared-memory.js';
import type { WebSocketConnection } from '../../shared/transport/websocket.js';
import { AddressRate, type AddressRateLimits } from './address-rate.js';
import { Attempts } from './attempts.js';
import { bind, isLocal, type ListenAddress } from './bind.js';
import { createSocketServer, type Origin, type TlsOptions } from './socket-server.js';
import { type StrangerLimits, Strangers } from './strangers.js';

export interface ListenerLimits extends StrangerLimits, AddressRateLimits {
  /** Authenticated workers, at one time. */
  readonly maxPeers: number;
  readonly maxObservers: number;
  /** Of a worker's connection, until its owner sets others. */
  readonly peer: ConnectionLimits;
}

export const listenerDefaults: ListenerLimits = {
  maxStrangers: 256,
  maxStrangersPerAddress: 128,
  handshakeTimeoutMs: 10_000,
  maxFailures: 20,
  failureWindowMs: 60_000,
  connectionsAtOnce: 512,
  connectionsPerSecond: 32,
  maxPeers: 1_024,
  maxObservers: 16,
  peer: unpreparedLimits,
};

/** An observer is told a status of some megabytes at most, and waits for it before it asks again. */
const observerLimits: ConnectionLimits = {
  ...strangerLimits,
  maxBufferedBytes: 2 ** 24,
  maxReceivedBytes: null,
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
  /** Told in one line who was turned away, and why; a flood is summed up. */
  readonly warn: (line: string) => void;
  /** Called once per authenticated worker; set the session's `onMessage` within the call or later. */
  readonly onPeer: (peer: AuthenticatedPeer) => void;
  /** Called once per authenticated observer. Default: it is told to go. */
  readonly onObserver?: (session: ObservedSession) => void;
  readonly tls?: TlsOptions | null;
  /** Allows an address that other machines reach without TLS. */
  readonly insecure?: boolean;
  /** Web pages that may connect, as browsers name them: `https://example.org`. Default none. */
  readonly allowedOrigins?: readonly string[];
  readonly limits?: Partial<ListenerLimits>;
  readonly clock?: Clock;
  readonly protocol?: number;
}

export interface Listener {
  /** What a worker on this machine joins with. */
  readonly url: string;
  /** Connections that have not authenticated. */
  readonly strangers: number;
  /** Lets payloads of a worker that is there cross in memory which its process, and no other, shares with this one. */
  share(worker: number, memory: SharedMemory): void;
  /** Ends every connection with `goodbye` and frees the address; resolves when nothing is left. */
  close(): Promise<void>;
}

/**
 * Listens for workers and observers and authenticates them; whoever does not hold the token is turned away, and
 * people are told.
 * @throws LockstepError ADDRESS_IN_USE; BAD_OPTION if the address cannot be used, is reachable by other machines
 * without TLS and not `insecure`, or certificate and key do not fit
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { address, tls = null, insecure = false, clock = systemClock } = options;
  const limits = { ...listenerDefaults, ...options.limits };
  if (!isLocal(address) && tls === null && !insecure) {
    throw new LockstepError('BAD_OPTION', 'other machines can reach this address, and it has no TLS', {
      hint: 'Give --tls-cert and --tls-key, or --insecure on a network where nobody listens in.',
    });
  }
  const attempts = new Attempts(clock, options.warn);
  const strangers = new Strangers(limits, clock, (attempt) => attempts.add(attempt));
  const rate = new AddressRate(limits, clock);
  const members: Record<PeerRole, Set<Connection>> = { worker: new Set(), observer: new Set() };
  const workers = new Map<number, WebSocketConnection>();
  let admitted = 0;

  const authenticate = (connection: WebSocketConnection, stream: Duplex, { peer }: Origin): void => {
    const protocol = options.protocol ?? protocolVersion;
    const nonce = randomBytes(nonceBytes).toString('hex');
    const handshake = { token: options.token, protocol, nonce };
    connection.onMessage((body) => {
      const judged = judgeProof(handshake, body);
      if (judged.status === 'refused') {
        strangers.turnedAway(stream, judged.code, judged.detail);
        connection.close(judged.code, judged.detail);
        return;
      }
      const { role } = judged;
      const room = role === 'worker' ? limits.maxPeers : limits.maxObservers;
      if (members[role].size >= room) {
        connection.close('too_many_strangers', `There are ${room} ${role}s already.`);
        return;
      }
      strangers.release(stream);
      members[role].add(connection);
      const identity = { run: options.runId, term: options.term, worker: admitted, incarnation: admitted };
      connection.closed.then((info) => {
        members[role].delete(connection);
        if (isMisconduct(info)) attempts.add({ peer: `${role} at ${peer}`, ...info });
      });
      connection.setLimits(role === 'worker' ? limits.peer : observerLimits);
      connection.send(
        judged.welcome(role === 'worker' ? identity : { ...identity, worker: 0, incarnation: 0 }),
      );
      if (role === 'worker') {
        admitted += 1;
        workers.set(identity.worker, connection);
        void connection.closed.then(() => workers.delete(identity.worker));
        const session = coordinatorSession(connection, identity, clock);
        return options.onPeer({ session, worker: identity.worker, incarnation: identity.incarnation });
      }
      const observed = observedSession(connection, { ...identity, worker: 0, incarnation: 0 }, clock);
      if (options.onObserver === undefined) observed.close('goodbye', 'There is nothing to observe.');
      else options.onObserver(observed);
    });
    connection.send(greet(handshake));
  };

  const server = createSocketServer({
    tls,
    maxConnections: limits.maxPeers + limits.maxObservers + limits.maxStrangers,
    openingTimeoutMs: limits.handshakeTimeoutMs,
    allowedOrigins: options.allowedOrigins ?? [],
    knock: ({ address: from, peer }) => {
      if (rate.allows(from)) return true;
      const reason = `more than ${limits.connectionsPerSecond} connections a second from its address`;
      attempts.add({ peer, code: 'too_many_connections', reason });
      return false;
    },
    admit: (stream, { address: from, peer }) => strangers.admit(stream, from, peer),
    onRefused: (stream, { peer }, code, reason) => {
      if (code === 'no_tls') attempts.add({ peer, code, reason });
      else strangers.turnedAway(stream, code, reason);
    },
    onConnection: (connection, stream, origin) => {
      strangers.connected(stream, connection);
      connection.closed.then(({ code, reason }) => strangers.turnedAway(stream, code, reason));
      if (strangers.isBarred(origin.address)) {
        connection.close('too_many_strangers', 'Too many attempts from your address failed; wait a minute.');
        return;
      }
      authenticate(connection, stream, origin);
    },
  });

  const binding = await bind(server, address, tls === null ? 'ws' : 'wss');
  server.on('error', (error) => options.warn(`the listener failed: ${error.message}`));
  const end = async (): Promise<void> => {
    const ended = new Promise<void>((resolve) => void server.close(() => resolve()));
    strangers.dismiss();
    attempts.close();
    for (const peer of [...members.worker, ...members.observer]) peer.close('goodbye');
    await ended;
    await binding.release();
  };
  let ending: Promise<void> | null = null;
  return {
    url: binding.url,
    get strangers() {
      return strangers.size;
    },
    share: (worker, memory) => workers.get(worker)?.share(memory.lineFor({ begins: true })),
    close: () => {
      ending ??= end();
      return ending;
    },
  };
}

/** Whether a peer that holds the token was sent away for something that ours never does. */
function isMisconduct({ code, by }: CloseInfo): boolean {
  if (by !== 'us') return false;
  const codes = [
    'malformed',
    'out_of_order',
    'oversize',
    'checksum',
    'invalid_message',
    'unread',
    'too_many_messages',
    'wrong_run',
    'stale_term',
    'stale_incarnation',
  ];
  return codes.includes(code);
}
