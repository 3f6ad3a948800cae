// Compiles the TypeScript sources to dist/ and makes the command line executable.
import { spawnSync } from 'node:child_process';
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Compiles beside dist/ and swaps, so that a program that runs from dist/ misses its files for an instant only,
 * and a failure leaves the last good build.
 * @returns {boolean} whether it worked; the compiler has said why not
 */
export function build() {
  const dist = join(root, 'dist');
  const draft = join(root, '.cache', `dist.${process.pid}`);
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = ['-p', join(root, 'tsconfig.build.json'), '--outDir', draft];
  try {
    const { status } = spawnSync(process.execPath, [compiler, ...args], { cwd: root, stdio: 'inherit' });
    if (status !== 0) return false;
    chmodSync(join(draft, 'cli', 'main.js'), 0o755);
    rmSync(dist, { recursive: true, force: true });
    renameSync(draft, dist);
    return true;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !build()) process.exitCode = 1;
