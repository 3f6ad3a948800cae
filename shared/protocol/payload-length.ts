import { assertNever } from '../errors.js';
import { partialBytes } from './partial-payload.js';
import { tensorBytes } from './tensor-payload.js';
import type { ToCoordinator } from './to-coordinator.js';
import type { ToWorker } from './to-worker.js';

/** Whether a payload of so many bytes can belong to this message. */
export function fitsToWorker(message: ToWorker, payloadBytes: number): boolean {
  switch (message.type) {
    case 'weights':
      return payloadBytes % 4 === 0;
    case 'data':
      return payloadBytes === tensorBytes(message.tensors);
    case 'setup':
    case 'compute':
    case 'cancel':
    case 'heartbeat':
    case 'rejected':
    case 'goodbye':
      return payloadBytes === 0;
    default:
      return assertNever(message);
  }
}

/** Whether a payload of so many bytes can belong to this message. */
export function fitsToCoordinator(message: ToCoordinator, payloadBytes: number): boolean {
  switch (message.type) {
    case 'partial':
      return payloadBytes === partialBytes(message.sections);
    case 'outputs':
      return payloadBytes === tensorBytes(message.tensors);
    case 'ready':
    case 'failed':
    case 'heartbeat':
    case 'goodbye':
      return payloadBytes === 0;
    default:
      return assertNever(message);
  }
}
