import type { ChildProcess } from 'node:child_process';
import { hostname } from 'node:os';
import { type WorkerFaultOrder, type WorkerFaultReport, workerFaultReport } from '../shared/worker-faults.js';
import type { FaultProxy, ProxiedConnection } from './proxy.js';

/** A worker as faults see it. */
export interface Target {
  readonly worker: number;
  readonly pid: number;
  /** Its connection, if it goes through a proxy and is open. */
  readonly link: ProxiedConnection | null;
  /** Sends a signal. Gives whether the process was there and is one of this machine. */
  signal(name: NodeJS.Signals): boolean;
  /** Asks the hook of a worker that was started with faults. Gives whether there is one. */
  order(order: WorkerFaultOrder): boolean;
}

/** What is known of the process of a worker. */
export interface CrewRow {
  readonly worker: number;
  readonly pid: number;
  readonly host: string;
}

interface Child {
  readonly process: ChildProcess;
  readonly proxy: FaultProxy;
}

/** The workers of a run: their processes, their connections, and the hooks of those that have one. */
export class Crew {
  /** Called with what the hook of a worker process says. */
  onReport: (pid: number, report: WorkerFaultReport, reply: Target['order']) => void = () => {};
  readonly #rows = new Map<number, CrewRow>();
  /** The address of the proxy's own end of a worker's connection, where all share one proxy. */
  readonly #peers = new Map<number, string>();
  readonly #children = new Map<number, Child>();
  #proxy: FaultProxy | null = null;

  /** The proxy that all workers share. */
  share(proxy: FaultProxy): void {
    this.#proxy = proxy;
  }

  /** A worker process that this one has started, and the proxy that it alone joins through. */
  adopt(process: ChildProcess, proxy: FaultProxy): void {
    const { pid } = process;
    if (pid === undefined) return;
    this.#children.set(pid, { process, proxy });
    process.on('message', (message) => {
      const report = workerFaultReport.safeParse(message).data;
      if (report !== undefined) this.onReport(pid, report, (order) => tell(process, order));
    });
    process.once('exit', () => {
      this.#children.delete(pid);
      void proxy.close();
    });
  }

  /** A worker was given a number. @param peer where its connection comes from */
  connected(worker: number, peer: string): void {
    this.#peers.set(worker, peer);
  }

  joined(row: CrewRow): void {
    this.#rows.set(row.worker, row);
  }

  lost(worker: number): void {
    this.#rows.delete(worker);
    this.#peers.delete(worker);
  }

  /** The workers that can compute, by number. */
  get targets(): readonly Target[] {
    return [...this.#rows.values()].sort((a, b) => a.worker - b.worker).map((row) => this.#targetOf(row));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children.values()].map(({ proxy }) => proxy.close()));
    await this.#proxy?.close();
  }

  #targetOf({ worker, pid, host }: CrewRow): Target {
    const child = this.#children.get(pid);
    const link =
      child === undefined
        ? this.#proxy?.connections.find(({ peer }) => peer === this.#peers.get(worker))
        : child.proxy.connections.at(-1);
    return {
      worker,
      pid,
      link: link?.isOpen === true ? link : null,
      signal: (name) => (child === undefined ? signalLocal(pid, host, name) : child.process.kill(name)),
      order: (order) => child !== undefined && tell(child.process, order),
    };
  }
}

function tell(child: ChildProcess, order: WorkerFaultOrder): boolean {
  return child.connected && child.send(order);
}

/** A worker that joined by itself says its own pid and host: only a process of this machine, and never this one. */
function signalLocal(pid: number, host: string, name: NodeJS.Signals): boolean {
  if (host !== hostname() || pid <= 1 || pid === process.pid) return false;
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
