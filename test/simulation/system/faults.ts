import type { Random } from '../../../shared/random.js';

/** What the run is at when a fault strikes. `checkpointing` overlaps the others: the disk writes while training goes on. */
export const phases = [
  'absent',
  'forming',
  'idle',
  'dispatching',
  'computing',
  'uploading',
  'committing',
  'validating',
  'checkpointing',
] as const;
export type Phase = (typeof phases)[number];

/** What can go wrong, in the order of the table. */
export const faultKinds = [
  'worker killed',
  'worker stopped',
  'worker slow',
  'compute never ends',
  'compute fails',
  'never ready',
  'result not finite',
  'result wrong',
  'late result wrong',
  'worker leaves',
  'worker joins',
  'worker flaps',
  'all workers gone',
  'deadly shard',
  'failing shard',
  'line cut',
  'line half-open',
  'line slow',
  'bytes damaged',
  'message repeated',
  'stranger without token',
  'stranger with garbage',
  'coordinator killed',
  'coordinator told to stop',
  'coordinator stopped',
  'coordinator superseded',
  'second coordinator',
  'power cut',
  'data late',
  'disk full',
  'disk slow',
  'checkpoint damaged',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** A fault as it is planned: it strikes when the run is in the phase for the `skip`th time at that step or later. */
export interface Fault {
  readonly kind: FaultKind;
  readonly phase: Phase;
  readonly fromStep: number;
  /** Events in the phase that pass first. */
  readonly skip: number;
  /** Decides whom it hits, and how. */
  readonly choice: number;
}

const noListener = 'nobody listens while the coordinator is absent';
const noWorker = 'no worker is connected while the run is forming';
const noShard = 'no shard is being computed, but for a late one of a step that is over';
const ofTraining = 'it is about a training step; a late answer for one is rare';
const ofTheRace = 'it needs a shard that two workers compute';
const beforeTheFirst = 'no worker was ever connected, or none since the last was lost';
const nothingSaved = 'nothing newer than the checkpoint that was resumed from is on the disk';

const ofWorkers = { absent: noListener, forming: noWorker };
const ofShards = { ...ofWorkers, idle: noShard, dispatching: noShard, committing: noShard };
const ofResults = { ...ofWorkers, idle: noShard, committing: noShard, validating: ofTraining };

/** Cells that cannot exist, or only by a rare coincidence, and why: these may be empty. */
export const exempt: { readonly [kind in FaultKind]?: { readonly [phase in Phase]?: string } } = {
  'worker slow': ofShards,
  'compute never ends': ofShards,
  'compute fails': ofShards,
  'never ready': { absent: noListener },
  'result not finite': ofResults,
  'result wrong': ofResults,
  'late result wrong': { ...ofResults, dispatching: ofTheRace },
  'worker leaves': ofWorkers,
  'worker flaps': ofWorkers,
  'all workers gone': { forming: noWorker },
  'deadly shard': { ...ofShards, validating: ofTraining },
  'failing shard': { ...ofShards, validating: ofTraining },
  'line cut': ofWorkers,
  'line half-open': { forming: noWorker },
  'line slow': { forming: noWorker },
  'bytes damaged': { forming: noWorker },
  'message repeated': ofWorkers,
  'stranger without token': { absent: noListener },
  'stranger with garbage': { absent: noListener },
  'coordinator killed': { absent: 'it is not there' },
  'coordinator told to stop': { absent: 'it is not there' },
  'coordinator stopped': { absent: 'it is not there' },
  'coordinator superseded': { absent: 'it is not there' },
  'second coordinator': { absent: 'it would be the first' },
  'power cut': { absent: 'as in any other phase: the coordinator is killed with it' },
  'data late': { absent: 'nobody asks for it', forming: beforeTheFirst },
  'checkpoint damaged': {
    absent: 'as in any other phase: the coordinator is killed with it',
    forming: nothingSaved,
  },
};

/** Beside a wrong result there are always enough healthy workers to find it out. */
const besideWrongResults: readonly FaultKind[] = [
  'worker joins',
  'message repeated',
  'stranger without token',
  'stranger with garbage',
  'coordinator killed',
  'coordinator told to stop',
  'coordinator stopped',
  'second coordinator',
  'power cut',
  'data late',
  'disk full',
  'disk slow',
  'checkpoint damaged',
];

export function drawFaults(random: Random): Fault[] {
  const count = [1, 2, 3, 4, 6][random.below(5)];
  const drawn = Array.from({ length: count }, () => faultKinds[random.below(faultKinds.length)]);
  const wrong = drawn.indexOf('result wrong');
  const kinds =
    wrong < 0 ? drawn : drawn.filter((kind, i) => i === wrong || besideWrongResults.includes(kind));
  return kinds.map((kind) => {
    const possible = phases.filter((phase) => exempt[kind]?.[phase] === undefined);
    return {
      kind,
      phase: possible[random.below(possible.length)],
      fromStep: random.below(18),
      skip: random.below(4),
      choice: random.uint32(),
    };
  });
}
