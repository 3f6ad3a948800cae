import { readToken } from '../shared/token.js';
import { runWorker } from '../worker/run.js';
import type { WorkerOptions } from './commands.js';
import { Interrupt } from './interrupt.js';
import { readPem } from './pem.js';
import { openView } from './view.js';

/** `lockstep worker`: computes for a coordinator until the run ends, or a signal asks it to leave. */
export async function worker(options: WorkerOptions): Promise<number> {
  const view = openView({ invocation: null, quiet: false, verbose: options.verbose });
  const interrupt = new Interrupt({
    onFirst: () =>
      view.announce({
        tone: 'warning',
        text: 'finishing the shard, then leaving; once more to stop at once',
      }),
    onForced: () => view.close(),
    endMs: null,
  });
  try {
    const { join, backend, threads, job = null, ca, maxMessageMib, rejoinSeconds, silenceSeconds } = options;
    await runWorker({
      url: join,
      token: await readToken({
        file: options.tokenFile,
        environment: process.env,
        warn: (text) => view.announce({ tone: 'warning', text: `warning: ${text}` }),
      }),
      backend,
      ...(threads === undefined ? {} : { threads }),
      job,
      maxMessageBytes: maxMessageMib * 2 ** 20,
      ...(ca === undefined ? {} : { ca: await readPem('--ca', ca) }),
      rejoinMs: rejoinSeconds * 1_000,
      silenceMs: silenceSeconds * 1_000,
      signal: interrupt.signal,
      write: (text) => view.announce({ tone: 'plain', text }),
    });
    return interrupt.exitCode ?? 0;
  } catch (error) {
    if (interrupt.exitCode !== null) return interrupt.exitCode;
    throw error;
  } finally {
    interrupt.close();
    view.close();
  }
}
