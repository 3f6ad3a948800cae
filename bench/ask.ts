import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Sends a message to a process that times something, and gives the times it answers with, in milliseconds. */
export async function ask(child: ChildProcess, message: object): Promise<number[]> {
  child.send(message);
  const settled = new AbortController();
  const { signal } = settled;
  try {
    const [answer] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }),
    ]);
    if (!Array.isArray(answer)) throw new Error(`the process that was to be timed ended with ${answer}`);
    return answer as number[];
  } finally {
    settled.abort();
  }
}
