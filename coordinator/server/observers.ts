import type { ObservedSession } from '../../shared/protocol/session.js';
import type { ClusterStatus } from '../status.js';

/** Tells an observer the status as often as it asks, but never while it still has one to read. */
export function serveObserver(session: ObservedSession, status: () => ClusterStatus): void {
  session.onMessage((message) => {
    if (message.type === 'goodbye') return session.close('goodbye');
    if (session.bufferedBytes === 0) session.send({ type: 'status', status: status() });
  });
}
