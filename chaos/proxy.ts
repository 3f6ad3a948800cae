import { chmod, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { type Clock, systemClock } from '../shared/clock.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { deriveSeed, Random } from '../shared/random.js';
import { Flow } from './flow.js';

/** Where a proxy listens, or whom it connects to. Port 0 takes a free one. */
export type ProxyAddress = { readonly unix: string } | { readonly host: string; readonly port: number };

export interface ProxyOptions {
  readonly listen: ProxyAddress;
  /** Where the coordinator listens. */
  readonly to: ProxyAddress;
  /** Of everything random, such as the bits that are flipped. */
  readonly seed: number;
  readonly onConnection?: (connection: ProxiedConnection) => void;
  readonly clock?: Clock;
}

/** What a cut has hit. */
export interface CutEffect {
  readonly wasOpen: boolean;
  /** Bytes that had left one side and not reached the other, as far as the proxy knows. */
  readonly lostBytes: number;
}

/** A connection of a worker to its coordinator, through the proxy. */
export class ProxiedConnection {
  /** From the worker to the coordinator. */
  readonly up: Flow;
  /** From the coordinator to the worker. */
  readonly down: Flow;
  /** Resolves when both sockets have closed. */
  readonly closed: Promise<void>;
  readonly #worker: Socket;
  readonly #coordinator: Socket;

  constructor(worker: Socket, coordinator: Socket, { seed, clock }: { seed: number; clock: Clock }) {
    this.#worker = worker;
    this.#coordinator = coordinator;
    const options = (direction: 'up' | 'down') => ({
      clock,
      random: new Random(deriveSeed(seed, 'faults', direction === 'up' ? 0 : 1)),
      onReset: () => void this.cut('reset'),
    });
    this.up = new Flow(worker, coordinator, options('up'));
    this.down = new Flow(coordinator, worker, options('down'));
    const sockets = [worker, coordinator];
    this.closed = Promise.all(
      sockets.map((socket) => new Promise<void>((resolve) => void socket.once('close', () => resolve()))),
    ).then(() => {
      this.up.close();
      this.down.close();
    });
    for (const socket of sockets) {
      // What broke is told on to the other side by the flow that comes from it.
      socket.on('error', () => {});
      socket.setNoDelay(true);
    }
  }

  get isOpen(): boolean {
    return !this.#worker.destroyed && !this.#coordinator.destroyed;
  }

  /** What the coordinator calls this connection: the address of the proxy's own end. Null for Unix sockets. */
  get peer(): string | null {
    const { localAddress, localPort } = this.#coordinator;
    return localAddress === undefined || localPort === undefined ? null : `${localAddress}:${localPort}`;
  }

  /** Nothing goes through any more, either way, and neither side is told: as if a cable was pulled. */
  silence(): boolean {
    this.up.hold();
    this.down.hold();
    return this.isOpen;
  }

  /** Ends the connection: by a reset (on Unix sockets a close without one), or in good order; what waits is lost. */
  cut(how: 'reset' | 'end'): CutEffect {
    const effect = { wasOpen: this.isOpen, lostBytes: this.up.waitingBytes + this.down.waitingBytes };
    this.up.close();
    this.down.close();
    for (const socket of [this.#worker, this.#coordinator]) {
      if (how === 'end') socket.destroySoon();
      else if (socket.localPort === undefined) socket.destroy();
      else socket.resetAndDestroy();
    }
    return effect;
  }
}

/**
 * Stands between workers and their coordinator, on TCP or Unix sockets, and hands bytes on; each connection can be
 * disturbed. It neither reads nor understands what it hands on, so it works with TLS as well.
 */
export class FaultProxy {
  readonly #server: Server;
  readonly #options: ProxyOptions;
  readonly #connections = new Set<ProxiedConnection>();
  #count = 0;

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** @throws LockstepError ADDRESS_IN_USE, or BAD_OPTION for an address that cannot be listened on */
  static async listen(options: ProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    const { listen } = options;
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', (cause) => reject(cannotListen(listen, cause)));
      proxy.#server.listen('unix' in listen ? { path: listen.unix } : listen, resolve);
    });
    if ('unix' in listen) await chmod(listen.unix, 0o600);
    return proxy;
  }

  /** The port it listens on; null for a Unix socket. */
  get port(): number | null {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? (address as AddressInfo).port : null;
  }

  /** The open connections, oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#connections];
  }

  /** Ends all connections and frees the address; resolves when no socket is left. */
  async close(): Promise<void> {
    const closing = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.cut('end');
    for (const connection of this.#connections) await connection.closed;
    await closing;
    const { listen } = this.#options;
    if ('unix' in listen) await rm(listen.unix, { force: true });
  }

  #accept(worker: Socket): void {
    const { to, seed, clock = systemClock, onConnection } = this.#options;
    const coordinator = openSocket({ ...('unix' in to ? { path: to.unix } : to), allowHalfOpen: true });
    const number = this.#count++;
    const connection = new ProxiedConnection(worker, coordinator, {
      seed: deriveSeed(seed, 'faults', number),
      clock,
    });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    onConnection?.(connection);
  }
}

function cannotListen(address: ProxyAddress, cause: NodeJS.ErrnoException): LockstepError {
  const where = 'unix' in address ? address.unix : `${address.host}:${address.port}`;
  if (cause.code === 'EADDRINUSE') {
    return new LockstepError('ADDRESS_IN_USE', `${where} is taken`, { hint: 'Choose another one.', cause });
  }
  return new LockstepError('BAD_OPTION', `cannot listen on ${where}: ${messageOf(cause)}`, {
    hint: 'Give an address of this machine that this user may bind.',
    cause,
  });
}
