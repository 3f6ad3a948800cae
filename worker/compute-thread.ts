import { parentPort, workerData } from 'node:worker_threads';
import { collectByGrowth } from '../shared/collect-by-growth.js';
import { invariant } from '../shared/errors.js';
import { realPorts, ShardComputer } from './compute/shard-computer.js';
import { withFaults } from './fault-hook.js';
import type { FromThread, ToThread } from './thread-messages.js';
import { ThreadSignals } from './thread-signals.js';

// The entry of the compute thread. Nothing else runs here, so that computing never holds up heartbeats, and
// Math.random can be seeded around a shard.

invariant(parentPort !== null, 'the compute thread needs a parent');
const port = parentPort;

/** The buffers that can be handed over rather than copied. */
function transferable(message: FromThread): ArrayBuffer[] {
  if (message.type === 'outputs') return message.tensors.map(({ data }) => data.buffer as ArrayBuffer);
  return message.type === 'partial' ? [message.partial.gradient.buffer as ArrayBuffer] : [];
}

const send = (message: FromThread): void => port.postMessage(message, transferable(message));
const signals = new ThreadSignals(workerData);
const computer = new ShardComputer(send, withFaults(realPorts), signals);

// The process does not mark in steps; this heap is the larger one, and every shard leaves tensors' records on it.
collectByGrowth(10_000);

let queue = Promise.resolve();
port.on('message', (message: ToThread) => {
  queue = queue.then(() => computer.handle(message)).then(() => signals.countHandled());
});
