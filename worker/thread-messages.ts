import type { ErrorCode } from '../shared/errors.js';
import type { Fingerprint } from '../shared/fingerprint.js';
import type { ShardPartial } from '../shared/partial.js';
import type { ShardData } from '../shared/program.js';
import type { ToCoordinatorOf } from '../shared/protocol/to-coordinator.js';
import type { ToWorkerOf } from '../shared/protocol/to-worker.js';
import type { HostTensor } from '../shared/tensors.js';
import type { Canary } from './compute/canary.js';
import type { Order } from './core/machine.js';
import type { ModelShape } from './model-shape.js';

/** What the worker's I/O thread tells its compute thread. Handled one by one, in order. */
export type ToThread =
  /** Nothing that was sent before is wanted any more. Answered by `reset`. */
  | { readonly type: 'reset' }
  | { readonly type: 'setup'; readonly setup: ToWorkerOf<'setup'>; readonly jobPath: string | null }
  | { readonly type: 'weights'; readonly flat: Float32Array }
  | { readonly type: 'data'; readonly round: number; readonly shard: number; readonly data: ShardData }
  | { readonly type: 'compute'; readonly compute: ToWorkerOf<'compute'> }
  | { readonly type: 'cancel'; readonly round: number };

/** What the compute thread answers. */
export type FromThread =
  | { readonly type: 'reset' }
  | {
      readonly type: 'ready';
      readonly manifestHash: string;
      readonly fingerprint: Fingerprint;
      readonly canary: Canary | null;
      readonly model: ModelShape;
      /** Why the model is computed op by op, where a compiled program was preferred. */
      readonly fallback: string | null;
    }
  | { readonly type: 'computing'; readonly round: number; readonly shard: number }
  | {
      readonly type: 'partial';
      readonly round: number;
      readonly lo: number;
      readonly hi: number;
      readonly computeMs: number;
      readonly partial: ShardPartial;
      readonly digests: ToCoordinatorOf<'partial'>['digests'];
    }
  | {
      readonly type: 'outputs';
      readonly round: number;
      readonly lo: number;
      readonly hi: number;
      readonly computeMs: number;
      readonly tensors: readonly HostTensor[];
    }
  | { readonly type: 'finished'; readonly order: Order }
  | {
      readonly type: 'failed';
      readonly order: Order | null;
      readonly shard: number | null;
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string;
    };
