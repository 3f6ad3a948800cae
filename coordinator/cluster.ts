import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import type { InjectedFault } from '../chaos/ledger.js';
import type { FaultPlan } from '../chaos/plan.js';
import type { BackendChoice } from '../shared/backends.js';
import { systemClock } from '../shared/clock.js';
import { LockstepError } from '../shared/errors.js';
import { withoutMarkingInSteps } from '../shared/marking-in-steps.js';
import { socketFolderPrefix } from '../shared/socket-folder.js';
import { createToken } from '../shared/token.js';
import type { Logs } from './callbacks/callback.js';
import type { History } from './callbacks/history.js';
import { checkListenOptions, checkLocalOptions } from './check-cluster.js';
import { type ClusterAccess, createAccess } from './cluster-access.js';
import type { RunLimits } from './core/run.js';
import type { ArrayData } from './data/array-dataset.js';
import type { RunListener } from './events.js';
import { disturbed, intercepted, respawnLimits } from './injected-faults.js';
import type { LoadedJob } from './job.js';
import { LocalWorkers } from './local-workers.js';
import {
  type EvaluateOptions,
  evaluateModel,
  type PredictOptions,
  predictModel,
} from './loop/evaluate-model.js';
import { type FitData, type FitOptions, fitModel } from './loop/fit.js';
import { openMemoryFiles, sharesMemory } from './memory-files.js';
import { sweepSocketFolders } from './server/abandoned-sockets.js';
import { type Listener, type ListenOptions, listen } from './server/listener.js';
import { serveObserver } from './server/observers.js';

export type { ClusterAccess } from './cluster-access.js';

export interface ClusterOptions {
  /** Default `auto`: the fastest that works here and can compute the model. */
  readonly backend?: BackendChoice;
  /** Compute threads of each worker. Part of what bits depend on; default 1. */
  readonly threadsPerWorker?: number;
  /**
   * Lets workers compute whose results could differ in their bits from those of the first. Such a run is labelled as
   * not bit-reproducible, in its report and its checkpoints. Default false: they are refused.
   */
  readonly allowMixed?: boolean;
  /** The job whose code workers load from their own disk. */
  readonly job?: LoadedJob;
  /** The share of shards, from 0 to 1, that two workers compute and that must agree. Default 0. */
  readonly auditFraction?: number;
  /**
   * How long a run that has lost all its workers waits for one before it saves what is committed and ends with
   * NO_WORKERS. Time in which a worker starts up does not count. Default 60,000 for local workers, which are
   * replaced by themselves, and 600,000 for those that join.
   */
  readonly withoutWorkersMs?: number;
  /** Told everything that happens. */
  readonly onEvent?: RunListener;
  /** Faults to inject, to see that the work survives them; docs/chaos.md has the format. */
  readonly faults?: FaultPlan;
}

export interface LocalOptions extends ClusterOptions {
  /** Worker processes. Default 2. */
  readonly workers?: number;
}

export interface ListenClusterOptions extends ClusterOptions {
  /** The address to listen on, e.g. `127.0.0.1` or `0.0.0.0`. */
  readonly host: string;
  /** 0 takes a free one; `cluster.url` tells which. */
  readonly port: number;
  /** Shared with the workers; at least 16 characters. */
  readonly token: string;
  /** Wait for so many workers before the work begins. Default 1. */
  readonly workers?: number;
  /** PEM. Needed for an address that other machines can reach, unless `insecure`. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly insecure?: boolean;
  /** Web pages that may connect, as browsers name them: `https://example.org`. Default none. */
  readonly allowedOrigins?: readonly string[];
  /** How long to wait for the workers. Default 10 minutes. */
  readonly joinTimeoutMs?: number;
}

const localJoinTimeoutMs = 120_000;
const networkJoinTimeoutMs = 600_000;
const localWithoutWorkersMs = 60_000;
const networkWithoutWorkersMs = 600_000;

/**
 * Workers to train on. `Cluster.local` starts processes on this machine; `Cluster.listen` waits for workers that
 * join over the network. Close it, or declare it with `await using`: it owns processes and sockets.
 */
export class Cluster {
  /** What workers join with; for `lockstep worker --join`. */
  readonly url: string;
  /** What its workers, and whoever observes it, hold. @internal */
  readonly token: string;
  readonly #access: ClusterAccess;
  readonly #release: () => Promise<void>;
  readonly #markInSteps = withoutMarkingInSteps();
  #closed: Promise<void> | null = null;

  private constructor(url: string, token: string, access: ClusterAccess, release: () => Promise<void>) {
    this.url = url;
    this.token = token;
    this.#access = access;
    this.#release = release;
  }

  /**
   * Starts worker processes on this machine. They talk over a Unix socket that only this user can open, and end
   * with this process.
   * @param limits others than the usual ones, so that tests need not wait for them. @internal
   * @throws LockstepError BAD_OPTION
   */
  static async local(options: LocalOptions = {}, limits: Partial<RunLimits> = {}): Promise<Cluster> {
    checkLocalOptions(options);
    const { workers = 2 } = options;
    await sweepSocketFolders();
    const directory = await mkdtemp(join(tmpdir(), socketFolderPrefix));
    const token = createToken();
    let children: LocalWorkers | null = null;
    const access = createAccess(options, workers, {
      joinTimeoutMs: localJoinTimeoutMs,
      withoutWorkersMs: options.withoutWorkersMs ?? localWithoutWorkersMs,
      othersMayCome: false,
      onSentAway: (worker, reason) => children?.end(worker, reason),
      limits,
    });
    let listener: Listener;
    try {
      listener = await listenFor(access, { address: { unix: join(directory, 'coordinator.sock') }, token });
    } catch (error) {
      access.conductor.close('not started');
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
    const job = options.job?.hasCode === true ? options.job.path : null;
    const { emit, faults } = access;
    let running = workers;
    const local = new LocalWorkers({
      config: { url: listener.url, token, backend: 'auto', job, faults: faults !== null },
      ...(faults === null ? {} : { adopt: (child) => disturbed(faults, child, directory) }),
      // A fault plan disturbs what crosses the socket: then everything does.
      ...(faults === null && sharesMemory() ? { openMemory: openMemoryFiles } : {}),
      onJoined: (worker, memory) => listener.share(worker, memory),
      clock: systemClock,
      respawn: respawnLimits(faults),
      isWanted: () => !access.conductor.isStopped,
      onRespawn: (reason, delayMs) => {
        const when = delayMs === 0 ? '' : ` in ${delayMs / 1_000} s`;
        emit({ type: 'warning', message: `${reason}; another takes its place${when}` });
      },
      onGone: (reason) => {
        running -= 1;
        emit({ type: 'warning', message: `${reason}; it is not replaced any more` });
        if (running === 0) access.conductor.abandon(reason);
      },
    });
    faults?.joinWith(() => {
      running += 1;
      local.start(1);
    });
    children = local;
    local.start(workers);
    return new Cluster(listener.url, token, access, async () => {
      access.conductor.close('the run is over');
      faults?.finish();
      await local.close();
      await faults?.close();
      await listener.close();
      await rm(directory, { recursive: true, force: true });
    });
  }

  /**
   * Listens for workers that hold the token: `lockstep worker --join URL --token-file F`.
   * @throws LockstepError ADDRESS_IN_USE; BAD_OPTION, also for a public address without TLS
   */
  static async listen(options: ListenClusterOptions): Promise<Cluster> {
    checkListenOptions(options);
    const { host, port, token, workers = 1, tls = null, insecure = false, allowedOrigins = [] } = options;
    const access = createAccess(options, workers, {
      joinTimeoutMs: options.joinTimeoutMs ?? networkJoinTimeoutMs,
      withoutWorkersMs: options.withoutWorkersMs ?? networkWithoutWorkersMs,
      othersMayCome: true,
    });
    const { faults } = access;
    // Under a fault plan the address is the proxy's, and the coordinator takes another port behind it.
    const address = { host, port: faults === null ? port : 0 };
    const listener = await listenFor(access, { address, token, tls, insecure, allowedOrigins }).catch(
      (error) => {
        access.conductor.close('not started');
        throw error;
      },
    );
    const release = async (): Promise<void> => {
      access.conductor.close('the run is over');
      // The goodbyes go through the proxy.
      await listener.close();
      await faults?.close();
    };
    try {
      return new Cluster(await intercepted(faults, { host, port }, listener.url), token, access, release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  /**
   * Trains a compiled model, like `model.fit`: optimizer, loss and metrics are those of `model.compile`, the model's
   * weights are updated in place, and a second `fit` continues the optimizer's slots.
   * @throws LockstepError for options, data or models that cannot be used, and when the run fails; the model then
   * has the weights of the last committed step
   */
  async fit(model: tf.LayersModel, data: FitData, options: FitOptions = {}): Promise<History> {
    return fitModel(this.access, model, data, options);
  }

  /** Loss and metrics of a compiled model, by Keras name: `{ loss, accuracy, … }`. */
  async evaluate(model: tf.LayersModel, data: FitData, options: EvaluateOptions = {}): Promise<Logs> {
    return evaluateModel(this.access, model, data, options);
  }

  /** The model's output for every row of `x`: one tensor, or a list for several outputs. The caller disposes it. */
  async predict(
    model: tf.LayersModel,
    x: ArrayData['x'] | FitData,
    options: PredictOptions = {},
  ): Promise<tf.Tensor | tf.Tensor[]> {
    return predictModel(this.access, model, x, options);
  }

  /** What became of the faults of the plan that the cluster was opened with. */
  get injectedFaults(): readonly InjectedFault[] {
    return this.#access.faults?.report().injectedFaults ?? [];
  }

  /** How the parts of Lockstep reach the workers. @internal */
  get access(): ClusterAccess {
    if (this.#closed !== null) {
      throw new LockstepError('BAD_OPTION', 'the cluster is closed', { hint: 'Make a new one.' });
    }
    return this.#access;
  }

  /** Says goodbye to the workers, ends local ones, and frees the address. What is still computed fails. */
  close(): Promise<void> {
    this.#closed ??= this.#release().finally(this.#markInSteps);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function listenFor(
  { conductor, emit, faults }: ClusterAccess,
  options: Pick<ListenOptions, 'address' | 'token' | 'tls' | 'insecure' | 'allowedOrigins'>,
): Promise<Listener> {
  return listen({
    ...options,
    runId: randomBytes(8).toString('hex'),
    term: 1,
    warn: (message) => emit({ type: 'warning', message }),
    onPeer: ({ session, worker }) => {
      faults?.connected(worker, session.peer);
      conductor.add(session);
    },
    onObserver: (session) => serveObserver(session, () => conductor.status()),
  });
}
