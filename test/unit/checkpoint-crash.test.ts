import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { snapshotAt } from './checkpoint-snapshot.js';

const child = fileURLToPath(new URL('./checkpoint-crash.child.ts', import.meta.url));

it('reads an intact checkpoint after its writer was killed at whatever instant', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lockstep-crash-'));
  try {
    for (const delayMs of [3, 17]) {
      const writer = spawn(process.execPath, ['--import', 'tsx', child, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(writer.stdout, 'data');
      await sleep(delayMs);
      writer.kill('SIGKILL');
      await once(writer, 'exit');
      const { snapshot, warnings } = await new CheckpointStore(directory).readLatest();
      expect(warnings).toEqual([]);
      expect(snapshot.flat).toEqual(snapshotAt(snapshot.run.step).flat);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
