import type { RunStatus } from '../shared/protocol/observing.js';
import { count, milliseconds, plural, table } from './format.js';

const kinds = {
  train: 'step',
  evaluate: 'batch of the evaluation',
  predict: 'batch of the prediction',
} as const;
const phases = { idle: 'between steps', working: 'computing', stopped: 'stopped' } as const;

/** Shards that are listed; of a large round the first ones tell enough. */
const listedShards = 16;

/** A status as people read it, steps and batches counted from 1: what, why it waits and what comes next, who holds what, who does what. */
export function statusLines(status: RunStatus): string[] {
  const { phase, round, waitingFor, stopped, workers } = status;
  const lines = [round === null ? phases[phase] : roundLine(round)];
  if (stopped !== null) lines.push(`because ${stopped}`);
  if (waitingFor !== null) lines.push(waitingFor);
  if (round !== null) lines.push(...shardLines(round));
  if (workers.length > 0) lines.push('', ...workerLines(workers));
  const { shardsRecomputed, shardsDuplicated, shardsAudited, disagreements, excluded } = status;
  lines.push(
    '',
    `${plural(shardsRecomputed, 'shard')} computed again, ${count(shardsDuplicated)} by two to be sooner, ` +
      `${count(shardsAudited)} to compare; ${plural(disagreements, 'disagreement')}`,
    ...excluded.map(
      ({ worker, host, step, shard }) =>
        `worker ${worker} on ${host} is excluded: its bits of shard ${shard} of step ${count(step + 1)} were wrong`,
    ),
  );
  return lines;
}

type Round = NonNullable<RunStatus['round']>;

function roundLine({ kind, step, forMs, shards }: Round): string {
  const isDone = shards.filter(({ status }) => status === 'done').length;
  return `${kinds[kind]} ${count(step + 1)}: ${isDone} of ${plural(shards.length, 'shard')} done, for ${milliseconds(forMs)}`;
}

function shardLines({ shards }: Round): string[] {
  const open = shards.filter(({ status }) => status !== 'done');
  const lines = open.slice(0, listedShards).map(({ shard, status, holders }) => {
    const who = holders
      .map(({ worker, forMs }) => `worker ${worker} for ${milliseconds(forMs)}`)
      .join(' and ');
    const what = status === 'unconfirmed' ? 'to be confirmed' : 'held';
    return `  shard ${shard}: ${who === '' ? `${status}, held by nobody` : `${what} by ${who}`}`;
  });
  if (open.length > listedShards) lines.push(`  and ${plural(open.length - listedShards, 'shard')} more`);
  return lines;
}

function workerLines(workers: RunStatus['workers']): string[] {
  const rows = workers.map((worker) => {
    const { computes } = worker;
    const now =
      computes === null
        ? `${worker.phase} for ${milliseconds(worker.forMs)}`
        : `${shardNames(computes)} for ${milliseconds(computes.forMs)}`;
    return [
      ...[String(worker.worker), worker.host ?? '-', worker.pid === null ? '-' : String(worker.pid)],
      ...[worker.computeMs, worker.networkMs, worker.idleMs].map(milliseconds),
      ...[count(worker.shardsComputed), `${milliseconds(worker.lastHeardMs)} ago`, now],
    ];
  });
  const heads = ['worker', 'host', 'pid', 'compute', 'network', 'idle', 'shards', 'heard', 'now'];
  return table([heads, ...rows]);
}

function shardNames({ lo, hi }: { lo: number; hi: number }): string {
  return hi === lo + 1 ? `shard ${lo}` : `shards ${lo} to ${hi - 1}`;
}
