import { assertNever } from '../../shared/errors.js';
import type { ShardRange } from '../../shared/tree.js';

/** Shards of one round that the coordinator asked for. */
export interface Order extends ShardRange {
  readonly round: number;
}

/** A worker's life with one coordinator. `orders` are in the order they came; the thread computes the first. */
export type WorkerState =
  | { readonly phase: 'connecting' }
  | { readonly phase: 'idle' }
  | { readonly phase: 'computing'; readonly orders: readonly [Order, ...Order[]] }
  /** Asked to leave: the order being computed is finished first, the others are left to other workers. */
  | { readonly phase: 'draining'; readonly last: Order; readonly reason: string }
  | { readonly phase: 'stopped'; readonly reason: string; readonly failed: boolean };

export type WorkerInput =
  | { readonly type: 'connected' }
  | { readonly type: 'ordered'; readonly order: Order }
  /** Everything an order asked for was sent. */
  | { readonly type: 'finished'; readonly order: Order }
  | { readonly type: 'cancelled'; readonly round: number }
  | { readonly type: 'leave'; readonly reason: string }
  /** The coordinator said goodbye. */
  | { readonly type: 'dismissed'; readonly reason: string }
  /** The connection or the compute thread broke. */
  | { readonly type: 'broken'; readonly reason: string };

export type WorkerEffect =
  | { readonly type: 'say-goodbye'; readonly reason: string }
  | { readonly type: 'stop'; readonly reason: string; readonly failed: boolean };

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
      return stop(input.reason, false);
    case 'broken':
      return stop(input.reason, true);
    default:
      return assertNever(input);
  }
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
  const [state, effects] = stop(reason, false);
  return [state, [{ type: 'say-goodbye', reason }, ...effects]];
}

function stop(reason: string, failed: boolean): WorkerTransition {
  return [{ phase: 'stopped', reason, failed }, [{ type: 'stop', reason, failed }]];
}
