import { type Clock, systemClock } from '../../shared/clock.js';
import type { Digest } from '../../shared/digest.js';
import { invariant, LockstepError, messageOf } from '../../shared/errors.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { readJobFile } from '../../shared/job-file.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import type { Manifest } from '../../shared/manifest.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import type { ShardProgram } from '../../shared/program.js';
import { cutToText } from '../../shared/protocol/fields.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { concatRows, type HostTensor } from '../../shared/tensors.js';
import { subtreesOf } from '../../shared/tree.js';
import { type BackendRequest, loadBackend } from '../backend/select.js';
import type { FromThread, ToThread } from '../thread-messages.js';
import { createEagerProgram } from './eager-program.js';
import { gradientDigests } from './gradient-digests.js';
import { ShardStore } from './shard-store.js';
import { sumSubtree } from './subtree-sum.js';

/** What executes the shards, and the time it takes by; a simulation has its own. */
export interface ComputePorts {
  readonly loadBackend: typeof loadBackend;
  readonly createProgram: typeof createEagerProgram;
  readonly clock: Clock;
}

export const realPorts: ComputePorts = { loadBackend, createProgram: createEagerProgram, clock: systemClock };

/**
 * What the compute thread does: it builds the program once, then computes the shards it is asked for and sends
 * what they add up to. Messages must be handled one at a time, in order.
 */
export class ShardComputer {
  readonly #send: (message: FromThread) => void;
  readonly #ports: ComputePorts;
  readonly #store = new ShardStore();
  #backend: { request: BackendRequest; fingerprint: Fingerprint } | null = null;
  #program: ShardProgram | null = null;
  #manifest: Manifest | null = null;

  constructor(send: (message: FromThread) => void, ports: ComputePorts = realPorts) {
    this.#send = send;
    this.#ports = ports;
  }

  /** Never throws: what goes wrong is sent as `failed`. */
  async handle(message: ToThread): Promise<void> {
    try {
      await this.#handle(message);
    } catch (error) {
      const { code, hint } =
        error instanceof LockstepError
          ? error
          : { code: 'WORKER_FAILED' as const, hint: 'Look at the model and at custom code in the job.' };
      const round = message.type === 'compute' ? message.compute.round : null;
      const text = cutToText(messageOf(error));
      this.#send({ type: 'failed', round, shard: null, code, message: text, hint });
    }
  }

  async #handle(message: ToThread): Promise<void> {
    switch (message.type) {
      case 'setup':
        return this.#setup(message.setup, message.jobPath);
      case 'weights':
        return this.#built.setWeights(message.flat);
      case 'data':
        return this.#store.put(message.round, message.shard, message.data);
      case 'compute':
        return this.#compute(message.compute);
      case 'cancel':
        return this.#store.drop(message.round);
    }
  }

  get #built(): ShardProgram {
    invariant(this.#program !== null, 'the program is used before setup');
    return this.#program;
  }

  async #setup(
    { program: spec, backend, threads, jobSha256 }: ToWorkerOf<'setup'>,
    jobPath: string | null,
  ): Promise<void> {
    this.#program?.dispose();
    this.#program = null;
    this.#store.clear();
    const fingerprint = await this.#load({ backend, threads });
    const functions = await jobFunctions(jobPath, jobSha256);
    const { program, manifest } = await this.#ports.createProgram(spec, functions);
    this.#program = program;
    this.#manifest = manifest;
    this.#send({ type: 'ready', manifestHash: manifestHash(manifest), fingerprint });
  }

  async #load(request: BackendRequest): Promise<Fingerprint> {
    const loaded = this.#backend;
    const fits =
      loaded !== null &&
      (request.backend === 'auto' || request.backend === loaded.fingerprint.backend) &&
      request.threads === loaded.request.threads;
    if (fits) return loaded.fingerprint;
    const { fingerprint } = await this.#ports.loadBackend(request);
    this.#backend = { request, fingerprint };
    return fingerprint;
  }

  async #compute(order: ToWorkerOf<'compute'>): Promise<void> {
    const { round, kind, step, batchRows, digest, shards, lo, hi } = order;
    this.#store.dropBefore(round);
    const program = this.#built;
    const { clock } = this.#ports;
    const begin = (shard: number) => {
      this.#send({ type: 'computing', round, shard });
      return { step, shard, batchRows, data: this.#store.get(round, shard) };
    };
    for (const range of subtreesOf({ lo, hi }, shards)) {
      const startedMs = clock.nowMs();
      if (kind === 'predict') {
        const outputs: HostTensor[][] = [];
        for (let shard = range.lo; shard < range.hi; shard++)
          outputs.push(await program.predict(begin(shard).data.x));
        const tensors = outputs[0].map((_, output) =>
          concatRows(outputs.map((shardOutputs) => shardOutputs[output])),
        );
        this.#send({ type: 'outputs', round, ...range, computeMs: clock.nowMs() - startedMs, tensors });
      } else {
        const digests: { shard: number; variables: Digest[] }[] = [];
        const manifest = digest ? this.#manifest : null;
        const partial = await sumSubtree(range, async (shard) => {
          const own = await program[kind](begin(shard));
          if (manifest !== null) digests.push({ shard, variables: gradientDigests(manifest, own.gradient) });
          return own;
        });
        const computeMs = clock.nowMs() - startedMs;
        this.#send({ type: 'partial', round, ...range, computeMs, partial, digests });
      }
    }
    this.#send({ type: 'finished', order: { round, lo, hi } });
  }
}

async function jobFunctions(jobPath: string | null, jobSha256: string | null): Promise<JobFunctions> {
  if (jobSha256 === null) return new Map();
  if (jobPath === null) {
    throw new LockstepError(
      'CODE_NOT_PORTABLE',
      'the run uses layers, losses or metrics that its job file defines',
      {
        hint: 'Start this worker with --job and its own copy of the job file.',
      },
    );
  }
  const { sha256, functions } = await readJobFile(jobPath);
  if (sha256 !== jobSha256) {
    throw new LockstepError('CODE_NOT_PORTABLE', `${jobPath} differs from the job file of the run`, {
      hint: 'Copy the same version of the job file to every machine.',
    });
  }
  return functions;
}
