import { appendFileSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { LockstepError, messageOf } from '../shared/errors.js';
import { runPhases } from '../shared/run-point.js';
import { faultActions } from './plan.js';

const injectedFault = z.strictObject({
  id: z.string(),
  do: z.enum(faultActions),
  phase: z.enum(runPhases),
  /** The step it was planned for, and the one it struck in; null if it did not. */
  plannedStep: z.int(),
  step: z.int().nullable(),
  /** Whom it hit; null if nobody, or if it is about no worker. */
  worker: z.int().nullable(),
  pid: z.int().nullable(),
  /** Shards that worker had been ordered and had not given back. */
  outstandingShards: z.int(),
  tookEffect: z.boolean(),
  /** One line: what was hit, or why nothing was. */
  what: z.string(),
});

/** What became of a fault. */
export type InjectedFault = z.infer<typeof injectedFault>;

/**
 * What a plan has done so far. With a file, each entry is on disk before the next thing happens, so that not even
 * killing this process loses it.
 */
export class Ledger {
  readonly #file: string | null;
  readonly #entries = new Map<string, InjectedFault>();

  /** @throws LockstepError BAD_OPTION if the file is no ledger or cannot be written */
  constructor(file: string | null) {
    this.#file = file;
    if (file === null) return;
    try {
      appendFileSync(file, '');
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        if (line === '') continue;
        const entry = injectedFault.parse(JSON.parse(line));
        this.#entries.set(entry.id, entry);
      }
    } catch (cause) {
      throw new LockstepError(
        'BAD_OPTION',
        `the ledger of faults ${file} cannot be used: ${messageOf(cause)}`,
        {
          hint: 'Name a file that is this plan’s own, or none yet, in a folder that exists.',
          cause,
        },
      );
    }
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  get entries(): readonly InjectedFault[] {
    return [...this.#entries.values()];
  }

  add(entry: InjectedFault): void {
    this.#entries.set(entry.id, entry);
    if (this.#file !== null) appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}
