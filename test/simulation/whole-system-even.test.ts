import { it } from 'vitest';
import { simulateHalf, simulationTimeoutMs } from './whole-system.js';

it(
  'keeps every promise in runs with all kinds of faults in all phases: even seeds',
  async () => {
    await simulateHalf(0);
  },
  simulationTimeoutMs,
);
