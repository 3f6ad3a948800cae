/**
 * What protection costs a run that nothing happens to: `npx tsx bench/overhead.ts [--before REF] [--rounds N]
 * [--backend tensorflow|wasm]`. The demo's CNN at batch 128 on two workers: a step of this tree, without a run folder
 * and with one (receipts), against a step of an earlier commit, by default the last one without deadlines, comparison,
 * canaries, bounds and receipts. The commit is checked out and built in a temporary folder; the processes take turns.
 * Needs git and the repository's history. Run `npm run build` first.
 */

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ask } from './ask.js';
import type { StepsOrder, TreeConfig } from './distributed-process.js';
import { describeMachine } from './machine.js';
import { describeMs, describeRatio } from './statistics.js';

const target = 1.03;
const steps = 5;
const batchSize = 128;

const { values } = parseArgs({
  options: {
    before: { type: 'string', default: '9acab6a' },
    rounds: { type: 'string', default: '12' },
    backend: { type: 'string', multiple: true, default: ['wasm'] },
  },
});

const here = resolve(fileURLToPath(new URL('..', import.meta.url)));

/** A built copy of an earlier commit, with the packages of this tree. */
async function checkOut(ref: string, folder: string): Promise<void> {
  execFileSync('git', ['worktree', 'add', '--detach', '--force', folder, ref], {
    cwd: here,
    stdio: 'ignore',
  });
  await symlink(join(here, 'node_modules'), join(folder, 'node_modules'));
  execFileSync(process.execPath, ['deploy/build.mjs'], { cwd: folder, stdio: 'ignore' });
}

class TreeProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(config: TreeConfig): Promise<TreeProcess> {
    const entry = fileURLToPath(new URL('distributed-process.ts', import.meta.url));
    const tree = new TreeProcess(fork(entry, [], { cwd: config.root }));
    await ask(tree.#child, { ...config, steps });
    return tree;
  }

  run(order: StepsOrder): Promise<number[]> {
    return ask(this.#child, order);
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

console.log(describeMachine());
const folder = await mkdtemp(join(tmpdir(), 'lockstep-before-'));
const before = join(folder, 'tree');
try {
  await checkOut(values.before, before);
  for (const name of values.backend) {
    const config = { backend: name as TreeConfig['backend'], workers: 2, batchSize };
    const earlier = await TreeProcess.start({ ...config, root: before });
    const present = await TreeProcess.start({ ...config, root: here });
    const times = { earlier: [] as number[], present: [] as number[], folder: [] as number[] };
    for (let round = 0; round < Number(values.rounds); round++) {
      times.earlier.push(...(await earlier.run({ steps, withRunFolder: false })));
      times.present.push(...(await present.run({ steps, withRunFolder: false })));
      times.folder.push(...(await present.run({ steps, withRunFolder: true })));
    }
    console.log(`\n${name}, CNN, batch ${batchSize}, two workers, milliseconds per step`);
    console.log(describeMs(`commit ${values.before}`, times.earlier));
    console.log(describeMs('this tree', times.present));
    console.log(describeMs('this tree, with a run folder', times.folder));
    console.log(describeRatio('this tree / before', times.present, times.earlier, { atMost: target }));
    console.log(describeRatio('with a run folder / before', times.folder, times.earlier, { atMost: target }));
    await earlier.close();
    await present.close();
  }
} finally {
  execFileSync('git', ['worktree', 'remove', '--force', before], { cwd: here, stdio: 'ignore' });
  await rm(folder, { recursive: true, force: true });
}
