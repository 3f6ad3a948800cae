import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { FaultInjection } from '../chaos/injection.js';
import { defaultRespawnLimits, type RespawnLimits } from './core/respawn.js';
import type { RunListener } from './events.js';

/** Tells a fault plan's supervisor of workers and checkpoints. */
export function followedBy(faults: FaultInjection): RunListener {
  return (event) => {
    if (event.type === 'worker-joined') faults.joined(event.worker);
    if (event.type === 'worker-lost') faults.lost(event.worker);
    if (event.type === 'saving') {
      faults.onPoint({ phase: 'checkpointing', step: event.step, worker: null, shards: 0 });
    }
  };
}

/** Has a local worker join through a proxy of its own; gives what its configuration says instead. */
export async function disturbed(
  faults: FaultInjection,
  child: ChildProcess,
  directory: string,
): Promise<{ url: string }> {
  const socket = join(directory, `${child.pid}.sock`);
  await faults.adopt(child, socket, { unix: join(directory, 'coordinator.sock') });
  return { url: `ws+unix:${socket}` };
}

/** Where workers join: at the proxy's `address` under a plan, else at `url`, where the coordinator listens. */
export async function intercepted(
  faults: FaultInjection | null,
  address: { host: string; port: number },
  url: string,
): Promise<string> {
  if (faults === null) return url;
  const joined = new URL(url);
  const everywhere = address.host === '0.0.0.0' || address.host === '::';
  const host = everywhere ? 'localhost' : address.host;
  joined.port = String(await faults.intercept(address, { host, port: Number(joined.port) }));
  return joined.href.replace(/\/$/, '');
}

/** How local workers are replaced: those that a plan kills do not count, and come back soon. */
export function respawnLimits(faults: FaultInjection | null): RespawnLimits {
  if (faults === null) return defaultRespawnLimits;
  const perWindow = defaultRespawnLimits.perWindow + faults.maxFaults;
  return { ...defaultRespawnLimits, perWindow, longestBackoffMs: defaultRespawnLimits.backoffMs };
}
