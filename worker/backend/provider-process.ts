import { execFile } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LockstepError } from '../../shared/errors.js';
import type { Provider } from '../compute/compiled/onnx/runtime-package.js';

/** A driver that has not computed two small products by then does not. */
const deadlineMs = 30_000;

/**
 * Has a provider compute in a process of its own: a driver that crashes or hangs takes only that down.
 * @returns what `providerBits` gives there
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export async function tryProvider(provider: Provider, threads: number): Promise<string> {
  const extension = extname(fileURLToPath(import.meta.url));
  const program = fileURLToPath(new URL(`./provider-probe${extension}`, import.meta.url));
  const loader = extension === '.ts' ? ['--import', 'tsx'] : [];
  const run = promisify(execFile)(process.execPath, [...loader, program, provider, String(threads)], {
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
  });
  const stdout = await run.then(
    (ended) => ended.stdout,
    (cause: unknown) => {
      throw unusable(provider, endOf(cause), cause);
    },
  );
  // A driver may print something before.
  const bits = /^[0-9a-f]{64}$/m.exec(stdout)?.[0];
  if (bits === undefined) throw unusable(provider, 'it gave no result');
  return bits;
}

function unusable(provider: Provider, why: string, cause?: unknown): LockstepError {
  return new LockstepError('BACKEND_UNAVAILABLE', `onnx:${provider} does not work here: ${why}`, {
    hint: 'Its driver or its libraries are missing or too old; docs/backends.md lists what it needs.',
    cause,
  });
}

function endOf(cause: unknown): string {
  const { killed, signal, stderr } = cause as { killed?: boolean; signal?: string | null; stderr?: string };
  if (killed === true) return `no result after ${deadlineMs / 1_000} s`;
  const lines = (stderr ?? '').split('\n').map((line) => line.trim());
  const error = lines.find((line) => /error|failed/i.test(line));
  return (error ?? (signal ? `it ended with ${signal}` : 'it gave no result')).slice(0, 300);
}
