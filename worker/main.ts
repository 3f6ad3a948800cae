import { messageOf } from '../shared/errors.js';
import {
  type LocalWorkerConfig,
  type LocalWorkerReport,
  localWorkerConfig,
  memoryDescriptors,
} from '../shared/local-worker.js';
import { SharedMemory } from '../shared/transport/shared-memory.js';
import { acceptFaults } from './fault-hook.js';
import { runWorker } from './run.js';
import { removeSocketOf } from './socket-folder.js';

// The entry of a worker process that a coordinator on the same machine started. It is told what to join over
// the parent's channel, so that no secret stands in arguments or environment, and it ends with its parent.

let url: string | null = null;

process.on('disconnect', () => {
  if (url !== null) removeSocketOf(url);
  // Not exit(), which waits for the compute thread: a kernel of native code hears nothing until it returns.
  process.kill(process.pid, 'SIGKILL');
});
// Ctrl-C, and a SIGTERM to the process group, reach workers as well; the coordinator finishes the step first and
// then says goodbye.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

process.once('message', (message) => {
  void main(localWorkerConfig.parse(message));
});

function tellParent(worker: number): void {
  const report: LocalWorkerReport = { type: 'joined', worker };
  process.send?.(report);
}

async function main(config: LocalWorkerConfig): Promise<void> {
  const { token, backend, job, faults } = config;
  url = config.url;
  const leaving = new AbortController();
  if (faults) acceptFaults(() => leaving.abort());
  try {
    // Its parent lives as long as the channel is open: there is a coordinator to come back to.
    const rejoinMs = Number.POSITIVE_INFINITY;
    const { signal } = leaving;
    const memory = config.memory ? { memory: new SharedMemory(memoryDescriptors) } : {};
    const joining = { url, token, backend, job, rejoinMs, ...memory };
    await runWorker({ ...joining, signal, write: () => {}, onJoined: tellParent });
    process.exit(0);
  } catch (error) {
    process.stderr.write(`worker ${process.pid}: ${messageOf(error)}\n`);
    process.exit(1);
  }
}
