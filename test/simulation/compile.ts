import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Campaigns run compiled, in .cache/simulation: what a loader makes of TypeScript while it is loaded takes a tenth
 * longer. Types are checked elsewhere; without that it takes a second.
 */
export default function setup(): void {
  const compiler = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
  const project = fileURLToPath(new URL('.', import.meta.url));
  execFileSync(process.execPath, [compiler, '-p', project], { stdio: 'inherit' });
}
