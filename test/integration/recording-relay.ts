import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Between a worker and its coordinator: records what the worker says, and can hold it back. */
export class RecordingRelay {
  /** What the worker has sent, byte for byte. */
  readonly recorded: Buffer[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #worker: Socket | null = null;

  private constructor(port: number) {
    this.#server = createServer((worker) => {
      const coordinator = connect(port, '127.0.0.1');
      this.#worker = worker;
      for (const socket of [worker, coordinator]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
      }
      worker.on('data', (bytes) => this.recorded.push(bytes));
      worker.pipe(coordinator);
      coordinator.pipe(worker);
    });
  }

  static async to(url: string): Promise<{ relay: RecordingRelay; url: string }> {
    const relay = new RecordingRelay(Number(new URL(url).port));
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    const { port } = relay.#server.address() as AddressInfo;
    return { relay, url: `ws://127.0.0.1:${port}` };
  }

  /** What the worker says waits in the network from here on. */
  hold(): void {
    this.#worker?.pause();
  }

  release(): void {
    this.#worker?.resume();
  }

  end(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
