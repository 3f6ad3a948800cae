import type { ChildProcess } from 'node:child_process';
import { systemClock } from '../shared/clock.js';
import type { RunPointListener } from '../shared/run-point.js';
import { Crew, type CrewRow } from './crew.js';
import { type InjectedFault, Ledger } from './ledger.js';
import { checkFaultPlan, defaultMax, type FaultPlan } from './plan.js';
import { FaultProxy, type ProxyAddress } from './proxy.js';
import { Supervisor } from './supervisor.js';

/** What a run under a plan reports beside the rest. */
export interface InjectionReport {
  /** What became of each fault, those of earlier starts included where the plan has a ledger. */
  readonly injectedFaults: readonly InjectedFault[];
  /** Shards of training whose computation began in this start, also in workers that have died. */
  readonly shardsBegun: number;
}

/** The faults of one cluster: its proxies, its supervisor and what they did. */
export class FaultInjection {
  readonly #plan: FaultPlan;
  readonly #crew = new Crew();
  readonly #ledger: Ledger;
  readonly #supervisor: Supervisor;
  #join: (() => void) | null = null;

  /** @throws LockstepError BAD_OPTION for a plan or a ledger that cannot be used */
  constructor(plan: unknown) {
    this.#plan = checkFaultPlan(plan, 'faults');
    this.#ledger = new Ledger(this.#plan.ledger ?? null);
    this.#supervisor = new Supervisor({
      plan: this.#plan,
      crew: this.#crew,
      ledger: this.#ledger,
      clock: systemClock,
      join: () => this.#join,
      killSelf: () => void process.kill(process.pid, 'SIGKILL'),
    });
  }

  /** Told where the run is. */
  get onPoint(): RunPointListener {
    return this.#supervisor.at;
  }

  /** How many faults there can be at most: as many workers may have to be replaced for it. */
  get maxFaults(): number {
    const { faults = [], random } = this.#plan;
    return faults.length + (random === undefined ? 0 : (random.max ?? defaultMax));
  }

  /** Sets what starts another worker process. */
  joinWith(start: () => void): void {
    this.#join = start;
  }

  /**
   * Puts a proxy between a worker process that this one started and the coordinator.
   * @param at path of the socket that the worker is to join
   */
  async adopt(child: ChildProcess, at: string, to: ProxyAddress): Promise<void> {
    const proxy = await FaultProxy.listen({ listen: { unix: at }, to, seed: this.#seed });
    this.#crew.adopt(child, proxy);
  }

  /**
   * Puts a proxy between all workers and the coordinator.
   * @returns the port it listens on
   * @throws LockstepError ADDRESS_IN_USE, BAD_OPTION
   */
  async intercept(listen: { host: string; port: number }, to: ProxyAddress): Promise<number> {
    const proxy = await FaultProxy.listen({ listen, to, seed: this.#seed });
    this.#crew.share(proxy);
    return proxy.port ?? listen.port;
  }

  /** A worker has a connection. @param peer the address that the coordinator sees */
  connected(worker: number, peer: string): void {
    this.#crew.connected(worker, peer);
  }

  joined(row: CrewRow): void {
    this.#crew.joined(row);
  }

  lost(worker: number): void {
    this.#crew.lost(worker);
    this.#supervisor.lost(worker);
  }

  report(): InjectionReport {
    return { injectedFaults: this.#ledger.entries, shardsBegun: this.#supervisor.shardsBegun };
  }

  /** Training is over: no fault strikes any more, and processes that were stopped go on. */
  finish(): void {
    this.#supervisor.close();
  }

  /** Closes every socket. */
  async close(): Promise<void> {
    this.finish();
    await this.#crew.close();
  }

  get #seed(): number {
    return this.#plan.random?.seed ?? 0;
  }
}
