import { assertNever } from '../shared/errors.js';
import type { Target } from './crew.js';
import type { Fault } from './draw.js';
import type { FaultAction } from './plan.js';
import type { StreamRule } from './stream.js';

/** What a fault did. */
export interface Effect {
  readonly tookEffect: boolean;
  /** One line. */
  readonly what: string;
}

/** What a strike may need beyond its target. */
export interface StrikeTools {
  /** Starts another worker; null where workers join by themselves. */
  readonly join: (() => void) | null;
  /** Calls back after so long, or when the run ends. */
  readonly after: (ms: number, then: () => void) => void;
}

/** Actions that are over at once, at any place. */
export type ImmediateAction = Exclude<FaultAction, ByteAction | ComputeAction | 'kill-coordinator'>;
/** Actions on the bytes of one direction. */
export type ByteAction = 'corrupt' | 'duplicate' | 'delay' | 'throttle';
/** Actions of a worker's own hook. */
export type ComputeAction = 'slow' | 'hang' | 'nan' | 'wrong';

export const isByteAction = (action: FaultAction): action is ByteAction =>
  ['corrupt', 'duplicate', 'delay', 'throttle'].includes(action);

export const isComputeAction = (action: FaultAction): action is ComputeAction =>
  ['slow', 'hang', 'nan', 'wrong'].includes(action);

/** Does it, now, and says what it hit. */
export function strike(
  action: ImmediateAction,
  fault: Fault,
  target: Target | null,
  tools: StrikeTools,
): Effect {
  if (action === 'join') {
    if (tools.join === null) return missed('workers of this run join by themselves');
    tools.join();
    return hit('another worker was started');
  }
  if (target === null) return missed('no worker is there');
  const { pid, link } = target;
  switch (action) {
    case 'kill':
      return signalled(target, 'SIGKILL');
    case 'terminate':
      return signalled(target, 'SIGTERM');
    case 'stop': {
      const effect = signalled(target, 'SIGSTOP');
      tools.after(fault.ms, () => void target.signal('SIGCONT'));
      return { ...effect, what: `${effect.what} for ${fault.ms} ms` };
    }
    case 'leave':
      if (target.order({ type: 'leave' })) return hit(`process ${pid} was asked to leave`);
      return signalled(target, 'SIGTERM');
    case 'cut': {
      if (link === null) return missed('no open connection goes through the proxy');
      const { wasOpen, lostBytes } = link.cut(fault.how);
      return { tookEffect: wasOpen, what: `cut (${fault.how}) with ${lostBytes} bytes under way` };
    }
    case 'half-open':
      if (link === null) return missed('no open connection goes through the proxy');
      return { tookEffect: link.silence(), what: 'nothing goes through any more, and neither side is told' };
    default:
      return assertNever(action);
  }
}

/** What a fault on bytes asks of a direction, from position `at` on. */
export function ruleOf(action: ByteAction, { ms, bytesPerSecond, bits }: Fault, at: number): StreamRule {
  switch (action) {
    case 'corrupt':
      return { type: 'corrupt', at, bits, exactly: false };
    case 'duplicate':
      return { type: 'duplicate', at };
    case 'delay':
      return { type: 'delay', at, ms, forMs: ms };
    case 'throttle':
      return { type: 'throttle', at, bytesPerSecond, forMs: ms };
    default:
      return assertNever(action);
  }
}

function signalled(target: Target, name: NodeJS.Signals): Effect {
  const tookEffect = target.signal(name);
  return tookEffect
    ? hit(`process ${target.pid} got ${name}`)
    : missed(`process ${target.pid} is gone, or not of this machine`);
}

export const hit = (what: string): Effect => ({ tookEffect: true, what });
export const missed = (what: string): Effect => ({ tookEffect: false, what });
