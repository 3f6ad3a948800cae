import { join } from 'node:path';
import type { Digest } from '../../shared/digest.js';
import { digestOf } from '../../shared/digest.js';
import { invariant } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import { bytesOf } from '../../shared/tensors.js';
import { version } from '../../shared/version.js';
import {
  type Receipt,
  type ReceiptsHeader,
  type SetReceipt,
  type StateDigests,
  type StepReceipt,
  sealed,
} from './receipt.js';
import type { ReceiptsFile } from './receipts-file.js';
import { type DigestedState, dataDigest, digestsOfState } from './state-digests.js';

/** The file in a run folder. */
export const receiptsPath = (directory: string): string => join(directory, 'receipts.jsonl');

/** Sees every receipt as it is made. */
export type ReceiptListener = (receipt: Receipt | ReceiptsHeader) => void;

export interface ReceiptsOptions {
  readonly run: Pick<ReceiptsHeader, 'runId' | 'seed' | 'shards' | 'batchSize'>;
  readonly state: DigestedState;
  /** Null: receipts go to the listener alone. */
  readonly file: ReceiptsFile | null;
  readonly onReceipt: ReceiptListener | null;
  /** Whether each shard's gradient is recorded. */
  readonly recordShards: boolean;
  /** The checkpoint's chain, and whether the file holds the receipts that lead to it; null to begin. */
  readonly resumed: { readonly chain: Digest; readonly isWhole: boolean } | null;
}

/** Where in the run a step stands, and what it consumed. */
export interface StepFacts {
  /** Steps of the whole run, this one included. */
  readonly step: number;
  readonly epoch: number;
  readonly batch: number;
  readonly samples: Float64Array;
  readonly cursor: Json;
  /** Of each shard's own gradient, if recorded: a digest per trainable variable. */
  readonly shards: ReadonlyMap<number, readonly Digest[]>;
}

/** Writes down what each committed step did, as a chain of digests (receipt.ts). */
export class Receipts {
  readonly recordShards: boolean;
  readonly #options: ReceiptsOptions;
  #chain: Digest | '' = '';
  /** Of the weights that the last receipt told of. */
  #version = 0;
  /** The header, until the first receipt: a run that fails before leaves an earlier run's file alone. */
  #header: string | null = null;

  constructor(options: ReceiptsOptions) {
    this.#options = options;
    this.recordShards = options.recordShards;
  }

  /** Null without a run folder. */
  get file(): string | null {
    return this.#options.file?.path ?? null;
  }

  /** Of the last receipt. */
  get chain(): Digest {
    invariant(this.#chain !== '', 'receipts have not begun');
    return this.#chain;
  }

  /** Begins, or goes on after `step` steps, with the state as it is now. */
  start(step: number, backend: string): void {
    const { resumed } = this.#options;
    if (resumed?.isWhole !== true) return this.#begin(step, backend, resumed?.chain ?? null);
    this.#look();
    this.#chain = resumed.chain;
  }

  /** @param chain of the checkpoint, if the receipts before it are lost */
  #begin(step: number, backend: string, chain: Digest | null): void {
    const { run, state, onReceipt } = this.#options;
    const { runId, seed, shards, batchSize } = run;
    const { manifest } = state;
    const digests = this.#look();
    const facts = { lockstep: 'receipts', format: 1, step, seed, shards, batchSize } as const;
    const variables = manifest.weights.filter(({ trainable }) => trainable).map(({ name }) => name);
    const { line, text } = sealed(
      '',
      { ...facts, manifestHash: manifestHash(manifest), ...digests },
      { runId, version, backend, variables },
    );
    if (chain === null) {
      this.#header = text;
      this.#chain = line.chain;
      onReceipt?.(line);
    } else {
      const header: ReceiptsHeader = { ...line, chain, continues: true };
      this.#header = `${JSON.stringify(header)}\n`;
      this.#chain = chain;
      onReceipt?.(header);
    }
  }

  /** The digest that the receipt of a step needs of its sum; taken before the sum is clipped. */
  sumOf(gradient: Float32Array): Digest {
    return digestOf([bytesOf(gradient)]);
  }

  /** A step was committed. */
  committed({ samples, cursor, shards, ...place }: StepFacts, sum: Digest): void {
    const data = dataDigest(samples, cursor);
    this.#add({ ...place, data, sum, ...this.#look() }, this.recordShards ? { shards: listed(shards) } : {});
  }

  /** A step was skipped: its data is consumed, and nothing else has changed. */
  skipped({ samples, cursor, shards, ...place }: StepFacts): void {
    const data = dataDigest(samples, cursor);
    this.#add(
      { ...place, data, skipped: true as const, ...this.#look() },
      this.recordShards ? { shards: listed(shards) } : {},
    );
  }

  /** Writes down the weights that callbacks have set since the last receipt. @param step steps committed so far */
  settle(step: number): void {
    if (this.#options.state.weights.version === this.#version) return;
    this.#add({ step, set: true as const, ...this.#look() }, {});
  }

  /** Waits until all receipts are on disk. Never rejects: a disk that takes nothing is warned of. */
  async flush(): Promise<void> {
    await this.#options.file?.flush();
  }

  async close(): Promise<void> {
    await this.#options.file?.close();
  }

  #look(): StateDigests {
    const { state } = this.#options;
    this.#version = state.weights.version;
    return digestsOfState(state);
  }

  #add(
    chained: Omit<StepReceipt, 'chain' | 'shards'> | Omit<SetReceipt, 'chain'>,
    beside: { shards?: string[] },
  ): void {
    const { file, onReceipt } = this.#options;
    const { line, text } = sealed(this.#chain, chained, beside);
    if (this.#header !== null) file?.append(this.#header);
    this.#header = null;
    this.#chain = line.chain;
    file?.append(text);
    onReceipt?.(line);
  }
}

/** Present shards have the numbers 0, 1, 2… */
function listed(shards: StepFacts['shards']): string[] {
  return [...shards].sort(([a], [b]) => a - b).map(([, variables]) => variables.join(''));
}
