import type { CoordinatorSession } from '../../shared/protocol/session.js';
import { type ConnectionLimits, peerLimits } from '../../shared/transport/connection.js';
import type { RoundSpec } from '../core/round.js';
import type { ResultShape } from './incoming.js';

/** Room for a message's fields besides its lists: most for the texts of `failed`. */
const headerBytes = 64 * 1_024;

/** BatchNorm call sites that the protocol allows in one partial. */
const maxSites = 10_000;

/** Bytes of a moment's section in the header, and of a digest; both as msgpack with their keys. */
const siteHeaderBytes = 40;
const digestHeaderBytes = 40;

/** What waits for a worker: the weights and a batch, the batch sent ahead, and as much again for a slow line. */
const roundsWaiting = 3;
const buffersBytes = 16 * 1_024 * 1_024;

/** What a worker is asked for: shards of one round, `rows` rows at most. */
export interface Asked {
  readonly kind: RoundSpec['kind'];
  readonly rows: number;
  readonly shards: number;
  readonly digest: boolean;
}

const shardHeaderBytes = (variables: number): number => 64 + variables * digestHeaderBytes;

/** Of how many shards one partial can hold the digests of so many variables, whatever the model is. */
export function maxDigestedShards(variables: number): number {
  const room = peerLimits.maxHeaderBytes - headerBytes - maxSites * siteHeaderBytes;
  return Math.floor(room / shardHeaderBytes(variables));
}

/** The header and payload of the largest result that `asked` can have. */
export function largestResult(
  shape: ResultShape,
  { kind, rows, shards, digest }: Asked,
): { headerBytes: number; payloadBytes: number } {
  const elements = shape.outputElements.map((perRow) => (perRow ?? Number.POSITIVE_INFINITY) * rows);
  if (kind === 'predict') {
    const payloadBytes = elements.reduce((sum, count) => sum + 4 * count + 8, 0);
    return { headerBytes: headerBytes + 256 * elements.length, payloadBytes };
  }
  // A score is three float32: prediction, label, weight.
  const scores = shape.scores === 0 ? 0 : shape.scores * (12 * Math.max(0, ...elements) + 8);
  const evaluation = 8 * shape.sums + scores;
  if (kind === 'evaluate') return { headerBytes, payloadBytes: evaluation };
  const sites = shape.channels.length === 0 ? 0 : maxSites;
  const moments = sites * 8 * (1 + 2 * Math.max(0, ...shape.channels));
  const digests = digest ? shards * shardHeaderBytes(shape.variables) : 0;
  return {
    headerBytes: headerBytes + sites * siteHeaderBytes + digests,
    payloadBytes: 4 * shape.trainableSize + 8 + evaluation + moments,
  };
}

/**
 * Bounds what one worker can make the coordinator hold by what the model and the batches need: its messages by the
 * largest result of what it was asked for, and what waits for it by the weights and data that it was sent.
 */
export class PeerBounds {
  readonly #session: CoordinatorSession;
  #headerBytes = headerBytes;
  #payloadBytes = 0;
  #weightsBytes = 0;
  #batchBytes = 0;

  constructor(session: CoordinatorSession) {
    this.#session = session;
    this.#apply();
  }

  /** The worker has answered for another program: of an earlier one nothing more can come. */
  reset(): void {
    this.#headerBytes = headerBytes;
    this.#payloadBytes = 0;
    this.#apply();
  }

  /** Results of this can come from now on, as can those of what was asked before. */
  asked(shape: ResultShape, asked: Asked): void {
    const largest = largestResult(shape, asked);
    this.#headerBytes = Math.max(this.#headerBytes, largest.headerBytes);
    this.#payloadBytes = Math.max(this.#payloadBytes, largest.payloadBytes);
    this.#apply();
  }

  /** Weights, or data of a batch of so many bytes, are about to be sent. */
  sends({ weightsBytes = 0, batchBytes = 0 }: { weightsBytes?: number; batchBytes?: number }): void {
    if (weightsBytes <= this.#weightsBytes && batchBytes <= this.#batchBytes) return;
    this.#weightsBytes = Math.max(this.#weightsBytes, weightsBytes);
    this.#batchBytes = Math.max(this.#batchBytes, batchBytes);
    this.#apply();
  }

  #apply(): void {
    const limits: ConnectionLimits = {
      maxHeaderBytes: Math.min(this.#headerBytes, peerLimits.maxHeaderBytes),
      maxPayloadBytes: Math.min(this.#payloadBytes, peerLimits.maxPayloadBytes),
      maxBufferedBytes: roundsWaiting * (this.#weightsBytes + this.#batchBytes) + buffersBytes,
      maxReceivedBytes: null,
    };
    this.#session.setLimits(limits);
  }
}
