import { cpus, loadavg, totalmem } from 'node:os';
import { version } from '@tensorflow/tfjs';

/** The machine and the versions that the figures below belong to; a warning if others use it as well. */
export function describeMachine(): string {
  const [{ model }] = cpus();
  const [load] = loadavg();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const machine = `${model.trim()}, ${cpus().length} cores, ${memory}; Node ${process.version}; tfjs ${version.tfjs}`;
  const isBusy = load > 0.5 * cpus().length;
  return isBusy
    ? `${machine}\nload ${load.toFixed(1)} before the start: these figures are provisional`
    : machine;
}
