import { randomBytes } from 'node:crypto';
import { greet, judgeProof, nonceBytes } from '../../../shared/protocol/auth.js';
import { coordinatorSession } from '../../../shared/protocol/session.js';
import { protocolVersion } from '../../../shared/protocol/version.js';
import { strangerLimits, unpreparedLimits } from '../../../shared/transport/connection.js';
import type { CoordinatorLife } from './coordinator-life.js';
import type { Line } from './line.js';
import type { World } from './world.js';

const handshakeTimeoutMs = 2_000;

/**
 * Lets in who holds the token, as the listener does on a socket: the same handshake, with its deadline, and the limits
 * of a stranger before it has succeeded.
 */
export function openDoor(world: World, life: CoordinatorLife, line: Line, admitted: number): void {
  const [connection] = line.ends;
  const { clock } = life.process;
  const handshake = {
    token: world.token,
    protocol: protocolVersion,
    nonce: randomBytes(nonceBytes).toString('hex'),
  };
  connection.setLimits(strangerLimits);
  const cancelDeadline = clock.after(handshakeTimeoutMs, () => connection.close('handshake_timeout'));
  void connection.closed.then(cancelDeadline);
  connection.onMessage((body) => {
    const judged = judgeProof(handshake, body);
    if (judged.status === 'refused') {
      world.turnedAway(line, judged.code);
      return connection.close(judged.code, judged.detail);
    }
    cancelDeadline();
    connection.setLimits(unpreparedLimits);
    const identity = { run: world.runId, term: life.term, worker: admitted, incarnation: admitted };
    const session = coordinatorSession(connection, identity, clock);
    connection.send(judged.welcome(identity));
    world.admitted(life, line, admitted);
    life.conductor?.add(session);
  });
  connection.send(greet(handshake));
}
