import v8 from 'node:v8';
import { collectByGrowth } from './collect-by-growth.js';

/**
 * V8 then takes its time with small heaps: in a worker's I/O thread some kilobytes per step gathered for half an hour
 * without one collection. So often we look whether to collect; it costs some 15 ms every few minutes.
 */
const lookMs = 10_000;

/** How many asked for it; several clusters may be open. */
let holders = 0;
let stopCollecting: () => void = () => {};

/**
 * Makes V8 collect garbage in one piece instead of marking in steps, until the returned function is called. Received
 * tensors are memory outside V8's heap, and while it marks, V8 answers every allocation of such memory with a step
 * of 5 to 10 ms (`Heap::ReportExternalMemoryPressure`): with 64 KiB for each read from a socket that made the
 * exchange of a 5 MB model three times as long (docs/benchmarks.md). Harmless for other work in the process, unless it
 * has a large heap and must answer within milliseconds.
 */
export function withoutMarkingInSteps(): () => void {
  holders += 1;
  if (holders === 1) {
    v8.setFlagsFromString('--no-incremental-marking');
    stopCollecting = collectByGrowth(lookMs);
  }
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    holders -= 1;
    if (holders > 0) return;
    stopCollecting();
    v8.setFlagsFromString('--incremental-marking');
  };
}
