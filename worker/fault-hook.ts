import { BroadcastChannel, getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import { workerFaultOrder } from '../shared/worker-faults.js';
import { faultyProgram, ShardFaults } from './compute/faulty-program.js';
import type { ComputePorts } from './compute/shard-computer.js';

const name = 'lockstep-faults';

/**
 * Lets the parent process disturb this worker: for a worker that was started under a fault plan, and no other.
 * Call it before the compute thread is made.
 * @param leave called when the parent asks the worker to leave
 */
export function acceptFaults(leave: () => void): void {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  setEnvironmentData(name, gate.buffer);
  const thread = new BroadcastChannel(name);
  thread.onmessage = (event) => void process.send?.(dataOf(event));
  process.on('message', (message) => {
    const order = workerFaultOrder.safeParse(message).data;
    if (order === undefined) return;
    if (order.type === 'leave') return leave();
    if (order.type === 'arm' || order.type === 'disarm') return thread.postMessage(order);
    Atomics.add(gate, 0, 1);
    Atomics.notify(gate, 0);
  });
}

/** The compute thread's end: the ports, with programs that meet faults where the worker was started so. */
export function withFaults(ports: ComputePorts): ComputePorts {
  const shared = getEnvironmentData(name);
  if (!(shared instanceof SharedArrayBuffer)) return ports;
  const gate = new Int32Array(shared);
  const parent = new BroadcastChannel(name);
  const faults = new ShardFaults({
    report: (report) => parent.postMessage(report),
    // The thread stands still, as a device that hangs does: only another thread can let it go on.
    hold: (ms) => void Atomics.wait(gate, 0, Atomics.load(gate, 0), ms ?? Number.POSITIVE_INFINITY),
  });
  parent.onmessage = (event) => {
    const order = workerFaultOrder.parse(dataOf(event));
    if (order.type === 'arm') faults.arm(order);
    if (order.type === 'disarm') faults.disarm(order.id);
  };
  return {
    ...ports,
    async createProgram(...args) {
      const built = await ports.createProgram(...args);
      return { ...built, program: faultyProgram(built.program, faults) };
    },
  };
}

/** Node declares what a BroadcastChannel hands out as unknown. */
function dataOf(event: unknown): unknown {
  return typeof event === 'object' && event !== null && 'data' in event ? event.data : null;
}
