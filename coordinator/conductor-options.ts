import type { Logger } from 'pino';
import type { Clock } from '../shared/clock.js';
import type { RunPointListener } from '../shared/run-point.js';
import type { RunLimits } from './core/run.js';
import type { RunListener } from './events.js';

export interface ConductorOptions {
  readonly clock: Clock;
  readonly limits: RunLimits;
  readonly onEvent: RunListener;
  readonly log: Logger;
  /** Whether workers join over the network: one that cannot build the program does not speak for the others. */
  readonly othersMayCome: boolean;
  /** Whether workers may compute whose results could differ in their bits; the run is labelled then. Default: no. */
  readonly allowMixed?: boolean;
  /** Told of a worker that was sent away, whatever it does then: one that is silent may never end by itself. */
  readonly onSentAway?: (worker: number, reason: string) => void;
  /** Told where each step of training is, so that faults can be injected there. */
  readonly onPoint?: RunPointListener;
}
