import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Integration tests run the built program: this compiles it first if the sources are newer. */
export default function setup(): void {
  const script = fileURLToPath(new URL('../../deploy/setup.mjs', import.meta.url));
  execFileSync(process.execPath, [script], { stdio: 'inherit' });
}
