import { invariant } from '../shared/errors.js';
import type { RejectCode } from '../shared/protocol/reject.js';
import type { ToCoordinatorOf } from '../shared/protocol/to-coordinator.js';
import type { ConductorOptions } from './conductor-options.js';
import type { RunInput, StopCause } from './core/run.js';
import type { ExcludedWorker } from './fault-counts.js';
import type { ProgramSetup } from './round.js';
import { Admission, noteOf, type RunReference } from './server/admission.js';
import type { RemoteWorker } from './server/remote-worker.js';
import { otherBits } from './stop-causes.js';

export interface EnrolmentOptions
  extends Pick<ConductorOptions, 'clock' | 'onEvent' | 'othersMayCome' | 'allowMixed'> {
  readonly post: (input: RunInput) => void;
  readonly readyCount: () => number;
  /** Sends a worker away, and takes it out. */
  readonly refuse: (remote: RemoteWorker, code: RejectCode, why: string) => void;
  readonly stop: (cause: StopCause) => void;
  /** The last worker on this host that computed wrong numbers, if there was one. */
  readonly excludedFrom: (host: string) => ExcludedWorker | undefined;
}

/** Tells workers what program to build, and lets in those that have built the right one and would give the run's bits. */
export class Enrolment {
  readonly #options: EnrolmentOptions;
  readonly #admission: Admission;
  #setup: ProgramSetup | null = null;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    this.#admission = new Admission(options);
  }

  /** What workers were told last; null before the first program. */
  get setup(): ProgramSetup | null {
    return this.#setup;
  }

  /** What the run's bits are compared with. */
  get reference(): RunReference {
    return this.#admission.reference;
  }

  /** Begins with another program. Gives false if it is the one that workers have. */
  begin(setup: ProgramSetup): boolean {
    if (JSON.stringify(setup) === JSON.stringify(this.#setup)) return false;
    this.#setup = setup;
    this.#admission.begin(setup);
    return true;
  }

  /** Tells a worker what to build, if there is something yet. */
  prepare(remote: RemoteWorker): void {
    if (this.#setup === null) return;
    this.#options.post({ type: 'preparing', worker: remote.worker });
    // Whatever backend the first ready worker found is the run's: nothing falls back silently afterwards.
    remote.prepare(this.#setup, this.reference.fingerprint?.backend ?? this.#setup.message.backend);
  }

  /** Takes a worker's word that it has built its program. */
  admit(remote: RemoteWorker, message: ToCoordinatorOf<'ready'>): void {
    invariant(this.#setup !== null, 'a worker is ready before setup');
    const { clock, onEvent, post, refuse, excludedFrom } = this.#options;
    if (!remote.isBuilding) {
      // What it was asked to compute still comes: nothing about it may change.
      if (remote.reject('out_of_order')) return;
      return refuse(remote, 'out_of_order', 'it goes on saying that it is ready, which nobody asked');
    }
    if (!remote.answer()) return;
    const verdict = this.#admission.judge(message, this.#setup.message.manifestHash);
    if (verdict.status === 'refused') {
      const { code, why } = verdict;
      // It chose a backend while another did; the run's it was not asked for.
      if (code === 'fingerprint_mismatch' && remote.hasChosen) return this.prepare(remote);
      if (code === 'fingerprint_mismatch' && this.#isLast)
        return this.#options.stop(otherBits(remote.worker, why));
      return refuse(remote, code, why);
    }
    const note = noteOf(verdict, remote.worker);
    if (note !== null) onEvent({ type: 'warning', message: note });
    const isNew = remote.admit(message, clock.nowMs());
    if (isNew && remote.row !== null) onEvent({ type: 'worker-joined', worker: remote.row });
    const excluded = isNew ? excludedFrom(message.host) : undefined;
    if (excluded !== undefined) onEvent({ type: 'warning', message: warningOf(remote.worker, excluded) });
    post({ type: 'ready', worker: remote.worker, canaryMs: message.canary?.ms ?? null });
  }

  /** Where all workers are alike, and none is ready, another would give other bits as well. */
  get #isLast(): boolean {
    return !this.#options.othersMayCome && this.#options.readyCount() === 0;
  }
}

/** It may be the same machine, and be repaired or not: its canary has the run's bits. */
function warningOf(worker: number, excluded: ExcludedWorker): string {
  const where = `shard ${excluded.shard} of step ${excluded.step + 1}`;
  return `worker ${worker} joins from ${excluded.host}, where worker ${excluded.worker} computed wrong numbers (${where}); only an audit would find that again`;
}
