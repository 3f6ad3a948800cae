import { assertNever } from '../../shared/errors.js';
import type { RejectCode } from '../../shared/protocol/reject.js';
import type { CloseInfo } from '../../shared/transport/connection.js';
import type { ShardRange } from '../../shared/tree.js';

/** Shards of one round that the coordinator asked for. */
export interface Order extends ShardRange {
  readonly round: number;
}

/** How one incarnation of a worker ended. Only one that is `lost` has a reason to come back. */
export type WorkerEnding =
  /** The coordinator said goodbye. */
  | { readonly how: 'dismissed'; readonly reason: string }
  /** It was asked to leave, and said goodbye. */
  | { readonly how: 'left'; readonly reason: string }
  /** The connection ended, and the coordinator did not say that the worker is not wanted. */
  | { readonly how: 'lost'; readonly reason: string }
  /** The coordinator does not want it: another connection would end in the same way. */
  | { readonly how: 'refused'; readonly reason: string; readonly code: RejectCode }
  /** Its compute thread broke. */
  | { readonly how: 'broken'; readonly reason: string };

/** One incarnation of a worker. `orders` are in the order they came; the thread computes the first. */
export type WorkerState =
  | { readonly phase: 'connecting' }
  | { readonly phase: 'idle' }
  | { readonly phase: 'computing'; readonly orders: readonly [Order, ...Order[]] }
  /** Asked to leave: the order being computed is finished first, the others are left to other workers. */
  | { readonly phase: 'draining'; readonly last: Order; readonly reason: string }
  | { readonly phase: 'stopped'; readonly ending: WorkerEnding };

export type WorkerInput =
  | { readonly type: 'connected' }
  | { readonly type: 'ordered'; readonly order: Order }
  /** Everything an order asked for was sent. */
  | { readonly type: 'finished'; readonly order: Order }
  | { readonly type: 'cancelled'; readonly round: number }
  | { readonly type: 'leave'; readonly reason: string }
  /** The coordinator said goodbye. */
  | { readonly type: 'dismissed'; readonly reason: string }
  /** The connection ended. */
  | { readonly type: 'closed'; readonly info: CloseInfo }
  /** The compute thread ended by itself. */
  | { readonly type: 'broken'; readonly reason: string };

export type WorkerEffect =
  | { readonly type: 'say-goodbye'; readonly reason: string }
  | { readonly type: 'stop'; readonly ending: WorkerEnding };

export type WorkerTransition = readonly [WorkerState, readonly WorkerEffect[]];

/** The worker's decisions: total and pure. */
export function transition(state: WorkerState, input: WorkerInput): WorkerTransition {
  if (state.phase === 'stopped') return [state, []];
  switch (input.type) {
    case 'connected':
      return [{ phase: 'idle' }, []];
    case 'ordered':
      if (state.phase === 'draining') return [state, []];
      return [withOrders([...ordersOf(state), input.order]), []];
    case 'finished':
      if (state.phase === 'draining')
        return isSame(state.last, input.order) ? leave(state.reason) : [state, []];
      return [withOrders(ordersOf(state).filter((order) => !isSame(order, input.order))), []];
    case 'cancelled':
      if (state.phase !== 'computing') return [state, []];
      return [withOrders(state.orders.filter((order) => order.round !== input.round)), []];
    case 'leave':
      if (state.phase === 'draining') return [state, []];
      if (state.phase !== 'computing') return leave(input.reason);
      return [{ phase: 'draining', last: state.orders[0], reason: input.reason }, []];
    case 'dismissed':
      return stop({ how: 'dismissed', reason: input.reason });
    case 'closed':
      return stop(endingOf(input.info));
    case 'broken':
      return stop({ how: 'broken', reason: input.reason });
    default:
      return assertNever(input);
  }
}

/** Reasons of a coordinator that another connection would meet again. */
const refusals: ReadonlySet<string> = new Set<RejectCode>([
  'auth_failed',
  'protocol_version',
  'manifest_mismatch',
  'fingerprint_mismatch',
  'job_mismatch',
  'wrong_result',
  'failed',
]);

function isRefusal(code: CloseInfo['code']): code is RejectCode {
  return refusals.has(code);
}

function endingOf({ code, reason, by }: CloseInfo): WorkerEnding {
  if (by !== 'peer') return { how: 'lost', reason };
  if (code === 'goodbye') return { how: 'dismissed', reason };
  return isRefusal(code) ? { how: 'refused', reason, code } : { how: 'lost', reason };
}

/** The order that the thread computes, or null. */
export function presentOrder(state: WorkerState): Order | null {
  return state.phase === 'draining' ? state.last : (ordersOf(state)[0] ?? null);
}

function ordersOf(state: WorkerState): readonly Order[] {
  return state.phase === 'computing' ? state.orders : [];
}

function withOrders(orders: readonly Order[]): WorkerState {
  const [first, ...others] = orders;
  return first === undefined ? { phase: 'idle' } : { phase: 'computing', orders: [first, ...others] };
}

function isSame(a: Order, b: Order): boolean {
  return a.round === b.round && a.lo === b.lo && a.hi === b.hi;
}

function leave(reason: string): WorkerTransition {
  const [state, effects] = stop({ how: 'left', reason });
  return [state, [{ type: 'say-goodbye', reason }, ...effects]];
}

function stop(ending: WorkerEnding): WorkerTransition {
  return [{ phase: 'stopped', ending }, [{ type: 'stop', ending }]];
}
