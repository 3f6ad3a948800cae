import { once } from 'node:events';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Attempts } from '../../coordinator/server/attempts.js';
import { listen } from '../../coordinator/server/listener.js';
import { createToken } from '../../shared/token.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

it('tells the first ten attempts one by one, and the others in one line a minute', () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const attempts = new Attempts(clock, (line) => lines.push(line));
  for (let i = 0; i < 30; i++) attempts.add({ peer: `p:${i}`, code: 'malformed', reason: 'noise' });
  expect(lines).toHaveLength(10);
  clock.advance();
  expect(lines.slice(10)).toEqual(['turned away more: 20 × malformed; the last was p:29']);
  attempts.close();
});

it('tells what a stranger says in one line, without characters that a terminal obeys', async () => {
  const lines: string[] = [];
  const listener = await listen({
    address: { host: '127.0.0.1', port: 0 },
    token: createToken(),
    runId: 'r',
    term: 1,
    warn: (line) => lines.push(line),
    onPeer: () => {},
  });
  const socket = new WebSocket(listener.url);
  await once(socket, 'open');
  socket.close(4_001, 'bye\u001b[2J\u009b31m\r\nturned away nobody');
  await once(socket, 'close');
  await expect.poll(() => lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^turned away 127\.0\.0\.1:\d+ \(auth_failed\): bye.*turned away nobody$/);
  expect(lines[0]).not.toMatch(/\p{Cc}/u);
  await listener.close();
});
