import { LockstepError } from '../errors.js';
import type { CloseInfo } from '../transport/connection.js';

/** The error that the end of a connection means to someone who still needed it. */
export function closeError({ code, reason, by }: CloseInfo, peer: string): LockstepError {
  switch (code) {
    case 'auth_failed':
      return new LockstepError(
        'AUTH_FAILED',
        by === 'us' ? `${peer} does not hold this token` : `${peer} did not accept this token`,
        { hint: 'Give coordinator and workers the same token: --token-file FILE, or LOCKSTEP_TOKEN.' },
      );
    case 'protocol_version':
      return new LockstepError('PROTOCOL_VERSION', reason, {
        hint: 'Install the same version of lockstep on the coordinator and on every worker.',
      });
    case 'lost':
    case 'goodbye':
    case 'silent':
    case 'handshake_timeout':
    case 'too_many_strangers':
      return new LockstepError('CONNECTION_LOST', `connection to ${peer} ended: ${reason}`, {
        hint: 'See whether the process at the other end still runs, and what its log says.',
      });
    default:
      return new LockstepError(
        'PEER_MISBEHAVED',
        by === 'us' ? `closed ${peer}, telling it: ${reason}` : `${peer} closed the connection: ${reason}`,
        { hint: 'See that both ends run the same build of lockstep; the log of the other end says more.' },
      );
  }
}
