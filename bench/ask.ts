import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/**
 * The next message of a process.
 * @throws Error if the process ends instead, or has ended
 */
export async function answerOf(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) throw ended(child);
  const settled = new AbortController();
  const { signal } = settled;
  const exit = once(child, 'exit', { signal }).then(() => {
    throw ended(child);
  });
  try {
    const [answer] = await Promise.race([once(child, 'message', { signal }), exit]);
    return answer;
  } finally {
    settled.abort();
    // What lost the race is aborted, which nobody waits for.
    exit.catch(() => {});
  }
}

/** Sends a message to a process that times something, and gives the times it answers with, in milliseconds. */
export async function ask(child: ChildProcess, message: object | number | string): Promise<number[]> {
  const answer = answerOf(child);
  if (child.connected) child.send(message);
  return (await answer) as number[];
}

function ended({ exitCode, signalCode, spawnargs }: ChildProcess): Error {
  const how = signalCode ?? `code ${exitCode}`;
  return new Error(
    `a process ended with ${how} instead of an answer; its own words are above: ${spawnargs.join(' ')}`,
  );
}
