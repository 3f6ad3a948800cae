import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP relay between workers and a coordinator on this machine, that a test can disturb. */
export class Relay {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isDeaf = false;
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param target `ws://HOST:PORT` */
  static async to(target: string): Promise<Relay> {
    const { hostname, port } = new URL(target);
    const server = createServer();
    const relay = new Relay(server);
    server.on('connection', (near) => relay.#join(near, connect(Number(port), hostname)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get url(): string {
    const address = this.#server.address();
    return `ws://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Keeps the present connections open and lets nothing through any more: they are half-open. */
  freeze(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
    }
  }

  close(): void {
    this.#isDeaf = true;
    this.#server.close();
    this.cut();
  }

  #join(near: Socket, far: Socket): void {
    this.connections += 1;
    if (this.#isDeaf) near.destroy();
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
  }
}
