import type { Fault } from './faults.js';
import type { FaultInjector } from './inject.js';

/** Longer than anything that a coordinator that is told to stop has still to do. */
const stopWithinMs = 30_000;

/** Faults of the coordinator's process, and of its machine. Gives false if there is none to hit. */
export function strikeCoordinator(injector: FaultInjector, fault: Fault, durationMs: number): boolean {
  const { world } = injector;
  const { clock, disk, life, succession } = world;
  if (life === null) return false;
  injector.took(fault);
  switch (fault.kind) {
    case 'coordinator told to stop':
      life.process.enter(() => life.interrupt.abort());
      clock.after(stopWithinMs, () => {
        const isHere = world.life === life && life.process.isAlive;
        if (isHere && !injector.isHeldUp && !world.isOver)
          world.fail(new RangeError(`I5: it goes on ${stopWithinMs} ms after it was told to stop`));
      });
      return true;
    case 'coordinator stopped':
      injector.isHeldUp = true;
      life.process.stop();
      clock.after(durationMs, () => life.process.continue());
      return true;
    case 'coordinator superseded':
      succession.supersede(durationMs);
      return true;
    case 'second coordinator':
      if (succession.start()) world.fail(new RangeError('I4: two coordinators have one run folder'));
      return true;
    case 'power cut':
      succession.crash();
      disk.cutPower(world.random);
      return true;
    default:
      succession.crash();
      return true;
  }
}
