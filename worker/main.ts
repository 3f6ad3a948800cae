import { messageOf } from '../shared/errors.js';
import { type LocalWorkerConfig, localWorkerConfig } from '../shared/local-worker.js';
import { acceptFaults } from './fault-hook.js';
import { runWorker } from './run.js';

// The entry of a worker process that a coordinator on the same machine started. It is told what to join over
// the parent's channel, so that no secret stands in arguments or environment, and it ends with its parent.

process.on('disconnect', () => process.exit(0));
// Ctrl-C, and a SIGTERM to the process group, reach workers as well; the coordinator finishes the step first and
// then says goodbye.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

process.once('message', (message) => {
  void main(localWorkerConfig.parse(message));
});

async function main({ url, token, backend, job, faults }: LocalWorkerConfig): Promise<void> {
  const leaving = new AbortController();
  if (faults) acceptFaults(() => leaving.abort());
  try {
    await runWorker({ url, token, backend, job, signal: leaving.signal, write: () => {} });
    process.exit(0);
  } catch (error) {
    process.stderr.write(`worker ${process.pid}: ${messageOf(error)}\n`);
    process.exit(1);
  }
}
