import { onTestFinished } from 'vitest';
import { type AuthenticatedPeer, type ListenOptions, listen } from '../../coordinator/server/listener.js';

export const token = 'a token of enough characters';

/** A coordinator that listens until the test is over, on a free port of loopback unless told, with what came to it. */
export async function coordinator(options: Partial<ListenOptions> = {}) {
  const peers: AuthenticatedPeer[] = [];
  const logged: string[] = [];
  const listener = await listen({
    address: { host: '127.0.0.1', port: 0 },
    token,
    runId: 'run-1',
    term: 7,
    warn: (line) => void logged.push(line),
    onPeer: (peer) => peers.push(peer),
    ...options,
  });
  onTestFinished(() => listener.close());
  return { listener, url: listener.url, peers, logged };
}
