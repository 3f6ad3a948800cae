import { authenticate } from '../../../worker/connect.js';
import { runDirectory } from './coordinator-life.js';
import type { Fault } from './faults.js';
import type { FaultInjector } from './inject.js';
import { SimulatedProcess } from './process.js';
import { strikeCoordinator } from './strike-coordinator.js';
import { strikeWorker } from './strike-worker.js';

/** Gives false if there is nobody to hit: then it waits for another moment. */
export function strike(injector: FaultInjector, fault: Fault): boolean {
  const { world } = injector;
  const { clock, disk } = world;
  const durationMs = 100 + (fault.choice % 5_000);
  switch (fault.kind) {
    case 'coordinator killed':
    case 'coordinator told to stop':
    case 'coordinator stopped':
    case 'coordinator superseded':
    case 'second coordinator':
    case 'power cut':
      return strikeCoordinator(injector, fault, durationMs);
    case 'data late':
      injector.isDataLate = fault;
      return true;
    case 'never ready':
      world.join().sickness.isNeverReady = fault;
      // Whoever looks after it has others.
      world.join();
      return true;
    case 'disk full':
      injector.excuses.add('disk');
      disk.weather.isFull = true;
      clock.after(durationMs, () => {
        disk.weather.isFull = false;
      });
      return true;
    case 'disk slow': {
      disk.weather.slowedBy++;
      clock.after(durationMs, () => {
        disk.weather.slowedBy--;
      });
      return true;
    }
    case 'checkpoint damaged':
      return damage(injector, fault);
    case 'worker joins':
      injector.took(fault);
      world.join();
      return true;
    case 'all workers gone':
      injector.took(fault);
      injector.excuses.add('gone');
      for (const worker of world.workers) if (worker.process.isAlive) injector.kill(worker, null);
      clock.after(fault.choice % 3 === 0 ? 25_000 : durationMs, () => world.join());
      return true;
    case 'deadly shard':
    case 'failing shard': {
      const key = `${world.committed + (fault.choice % 2)}:${fault.choice % 3}`;
      const shards = fault.kind === 'deadly shard' ? injector.deadly : injector.failing;
      shards.set(key, fault);
      return true;
    }
    case 'stranger without token':
    case 'stranger with garbage':
      return knock(injector, fault);
    default:
      return strikeWorker(injector, fault, durationMs);
  }
}

function knock(injector: FaultInjector, fault: Fault): boolean {
  const { world } = injector;
  const process = new SimulatedProcess('stranger', world.clock);
  const dialled = world.dial(process, true);
  if (dialled === null) return false;
  const { line } = dialled;
  injector.strangers.set(line, fault);
  if (fault.kind === 'stranger without token') {
    const { proof } = world;
    if (fault.choice % 2 === 0 && proof !== null) {
      line.ends[1].onMessage(() => line.ends[1].send(proof));
      return true;
    }
    const token = 'a token that was guessed';
    authenticate(line.ends[1], { token, clock: process.clock }).catch(() => {});
    return true;
  }
  injector.took(fault);
  for (let i = 0; i < 1 + (fault.choice % 4); i++) {
    const bytes = Uint8Array.from({ length: 1 + (fault.choice % 300) }, () => world.random.below(256));
    line.ends[1].sendRaw(bytes);
  }
  world.clock.after(4_000, () => process.kill());
  return true;
}

/** Damages the newest checkpoint, if there is another to fall back on, and ends the coordinator that knows better. */
function damage(injector: FaultInjector, fault: Fault): boolean {
  const { disk } = injector.world;
  const complete = disk.namesIn(runDirectory).filter((name) => name.startsWith('checkpoint-'));
  if (complete.length < 2 || injector.damaged !== null) return false;
  const directory = `${runDirectory}/${complete.at(-1)}`;
  const names = disk.namesIn(directory);
  const path = `${directory}/${names[fault.choice % names.length]}`;
  const bytes = disk.files.get(path);
  if (bytes === undefined || bytes.length === 0) return false;
  const at = (fault.choice >>> 8) % bytes.length;
  if (fault.choice % 2 === 0) disk.files.set(path, bytes.slice(0, at));
  // Added, not flipped: the same damage a second time would repair it.
  else
    disk.files.set(
      path,
      bytes.map((byte, i) => (i === at ? byte + 4 : byte)),
    );
  injector.world.saved.damaged(complete.at(-1) ?? '');
  injector.damaged = { fault, at: injector.phases() };
  injector.world.trace('fault', () => `damages ${path} at ${at}`);
  injector.world.succession.crash();
  return true;
}
