// Makes a clone ready to run: installs the packages and compiles the sources, each only when it is out of date.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNpm } from './npm.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = ['index.ts', 'cli', 'chaos', 'coordinator', 'worker', 'shared'];

/** When the file was last written, in ms, or -Infinity without it. */
function writtenMs(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}

/** The last time a file below `path` was written or a folder gained or lost one, in ms. */
function newestMs(path) {
  if (!existsSync(join(root, path))) return Number.NEGATIVE_INFINITY;
  const own = writtenMs(path);
  if (!statSync(join(root, path)).isDirectory()) return own;
  return readdirSync(join(root, path)).reduce(
    (newest, name) => Math.max(newest, newestMs(join(path, name))),
    own,
  );
}

function stop(message, advice) {
  console.error(`lockstep setup: ${message}`);
  console.error(advice);
  process.exit(1);
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 15)) {
  stop(`this is Node ${process.versions.node}, and Lockstep needs 20.15 or later.`, 'Install a newer Node.');
}

// npm writes this file last, so it is missing after an install that was cut off.
if (writtenMs('node_modules/.package-lock.json') < writtenMs('package-lock.json')) {
  console.log('Installing packages (npm ci) …');
  // Its install script would fetch CUDA's libraries, some hundred megabytes that nothing here uses.
  process.env.ONNXRUNTIME_NODE_INSTALL ??= 'skip';
  const { ok } = await runNpm(['ci', '--loglevel=error'], { cwd: root });
  if (!ok)
    stop('npm ci failed.', 'Read what npm says above; with the network back, run the same command again.');
}

const built = Math.min(writtenMs('dist/index.js'), writtenMs('dist/cli/main.js'));
const changed = Math.max(
  ...[...sources, 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map(newestMs),
);
if (built < changed) {
  console.log('Compiling …');
  const { build } = await import('./build.mjs');
  if (!build()) stop('the sources do not compile.', 'Correct what the compiler says above.');
}
