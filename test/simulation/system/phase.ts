import type { Phase } from './faults.js';
import type { World } from './world.js';

/** What a run is at: as the trainer tells it, and within a step as the wires show it. */
export function phaseOf({ life, workers }: World): Phase {
  if (life === null || life.stage === 'opening' || life.stage === 'ended') return 'absent';
  if (life.stage === 'forming' || !workers.some(({ isHere }) => isHere)) return 'forming';
  if (life.stage !== 'round') return life.stage;
  if (life.traffic.partialsUnderWay > 0) return 'uploading';
  return workers.some(({ isComputing }) => isComputing) ? 'computing' : 'dispatching';
}
