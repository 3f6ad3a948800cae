import { setTimeout as sleep } from 'node:timers/promises';
import { closeError } from '../shared/protocol/close-error.js';
import { join } from '../shared/protocol/join.js';
import type { RunStatus } from '../shared/protocol/observing.js';
import { type ObserverSession, observerSession } from '../shared/protocol/session.js';
import { readToken } from '../shared/token.js';
import { peerLimits } from '../shared/transport/connection.js';
import type { StatusOptions } from './commands.js';
import { readPem } from './pem.js';
import { type RunAccess, readRunAccess } from './run-access.js';
import { statusLines } from './status-lines.js';
import { webSocketUrlOf } from './values.js';

/** `lockstep status`: what a run does at the moment, and what it waits for. */
export async function status(
  target: string,
  options: StatusOptions,
  output: { write(text: string): void; warn(text: string): void },
): Promise<number> {
  const { url, token } = await accessOf(target, options, output.warn);
  const ca = options.ca === undefined ? undefined : await readPem('--ca', options.ca);
  const session = await join({ url, token, ca, role: 'observer' }, ({ connection, identity }) => {
    connection.setLimits({ ...peerLimits, maxPayloadBytes: 0 });
    return observerSession(connection, identity);
  });
  try {
    for (;;) {
      const now = await ask(session);
      const text = options.json ? JSON.stringify(now) : statusLines(now).join('\n');
      output.write(options.watch === undefined || options.json ? `${text}\n` : `${text}\n\n`);
      if (options.watch === undefined) return 0;
      const info = await Promise.race([session.closed, sleep(options.watch * 1_000, null)]);
      if (info?.code === 'goodbye') return 0;
    }
  } finally {
    session.close('goodbye');
  }
}

/** A run folder says itself how its run is reached; a URL needs the token. */
async function accessOf(
  target: string,
  { tokenFile }: StatusOptions,
  warn: (text: string) => void,
): Promise<RunAccess> {
  const isUrl = /^[a-z+]+:/.test(target) || /^[\w.-]+:\d+$/.test(target);
  if (!isUrl) return readRunAccess(target);
  const token = await readToken({ file: tokenFile, environment: process.env, warn });
  return { url: webSocketUrlOf('status')(target), token };
}

/** @throws LockstepError if the coordinator ends the connection instead of answering */
function ask(session: ObserverSession): Promise<RunStatus> {
  return new Promise((resolve, reject) => {
    void session.closed.then((info) => reject(closeError(info, session.peer)));
    session.onMessage((message) => {
      if (message.type === 'status') resolve(message.status);
    });
    session.send({ type: 'status' });
  });
}
