import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobSource } from './cli-process.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let program: string;

/** A folder in which only Lockstep is installed: its package, and its dependencies beside it, as npm lays them out. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-installed-'));
  const installed = join(folder, 'node_modules', 'lockstep');
  await mkdir(installed, { recursive: true });
  await cp(join(root, 'dist'), join(installed, 'dist'), { recursive: true });
  await cp(join(root, 'package.json'), join(installed, 'package.json'));
  program = join(installed, 'dist', 'cli', 'main.js');
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  // Scoped packages lie in the folder of their scope.
  for (const name of new Set(Object.keys(dependencies).map((path) => path.split('/')[0]))) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A layer and a loss of the job's own: workers must load the file, and find the layer in their own TensorFlow.js. */
const custom = {
  top: `
    import { halve } from './halve.js';
    class Halving extends tf.layers.Layer {
      static className = 'Halving';
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        return halve(Array.isArray(inputs) ? inputs[0] : inputs);
      }
    }
    tf.serialization.registerClass(Halving);`,
  source(): string {
    return jobSource({ top: this.top })
      .replace(`tf.layers.dropout({ rate: 0.2 }),`, `new Halving({}),`)
      .replace(
        `loss: 'meanSquaredError',`,
        `loss: (yTrue: tf.Tensor, yPred: tf.Tensor) => yTrue.sub(yPred).square().mean(-1),`,
      );
  },
};

async function train(job: string): Promise<Record<string, unknown>> {
  const args = [program, 'train', job, '--backend', 'cpu', '--epochs', '1', '--report', 'report.json'];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: folder });
  expect(stderr).toBe('');
  const lines = stdout.trimEnd().split('\n');
  return JSON.parse(lines[lines.length - 1]);
}

describe('a job with layers and losses of its own, in a folder where Lockstep was installed', () => {
  beforeAll(async () => {
    await writeFile(
      join(folder, 'halve.ts'),
      `import type * as tf from '@tensorflow/tfjs';
       export const halve = (x: tf.Tensor): tf.Tensor => x.mul(0.5);`,
    );
    await writeFile(join(folder, 'job.ts'), custom.source());
  });

  it.each([
    ['without a package.json', null],
    ['that is CommonJS', { type: 'commonjs' }],
    ['that is ES modules', { type: 'module' }],
  ])('trains in a package %s', async (_kind, manifest) => {
    await rm(join(folder, 'package.json'), { force: true });
    if (manifest !== null) await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
    expect(await train('job.ts')).toMatchObject({ event: 'end', cause: 'done', step: 13 });
  });
});
