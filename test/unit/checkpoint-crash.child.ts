import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { snapshotAt } from './checkpoint-snapshot.js';

// Writes checkpoints without end until it is killed; says when the first one is complete.
const store = new CheckpointStore(process.argv[2]);
await store.prepare();
for (let step = 1; ; step++) {
  await store.write(snapshotAt(step));
  if (step === 1) process.stdout.write('writing\n');
}
