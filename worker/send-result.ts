import { encodePartial } from '../shared/protocol/partial-payload.js';
import type { WorkerSession } from '../shared/protocol/session.js';
import { encodeTensors } from '../shared/protocol/tensor-payload.js';
import type { FromThread } from './thread-messages.js';

/** What a compute thread gives for shards: a partial gradient, or a model's outputs. */
export type ComputedResult = Extract<FromThread, { type: 'partial' | 'outputs' }>;

/** Sends a result to the coordinator: its numbers as the message's payload. */
export function sendResult(session: Pick<WorkerSession, 'send'>, result: ComputedResult): void {
  const { round, lo, hi, computeMs } = result;
  if (result.type === 'partial') {
    const { sections, payload } = encodePartial(result.partial);
    const { digests } = result;
    session.send({ type: 'partial', round, lo, hi, computeMs, sections, digests }, payload);
  } else {
    const { tensors, payload } = encodeTensors(result.tensors);
    session.send({ type: 'outputs', round, lo, hi, computeMs, tensors }, payload);
  }
}
