import { describe, expect, it } from 'vitest';
import type { Handlers } from '../../cli/commands.js';
import { failureOf } from '../../cli/failure.js';
import { runCommand } from '../../cli/run-command.js';
import { invariant, LockstepError } from '../../shared/errors.js';

interface Call {
  readonly command: string;
  readonly args: readonly unknown[];
}

/** Runs a command line against handlers that only note their arguments. */
async function run(line: string, fail?: unknown) {
  const calls: Call[] = [];
  const note =
    (command: string, exitCode: number) =>
    async (...args: unknown[]): Promise<number> => {
      calls.push({ command, args: args.slice(0, command === 'worker' || command === 'doctor' ? 1 : 2) });
      if (fail !== undefined) throw fail;
      return exitCode;
    };
  const handlers: Handlers = {
    train: note('train', 0),
    coordinator: note('coordinator', 130),
    worker: note('worker', 0),
    evaluate: note('evaluate', 0),
    verify: note('verify', 1),
    chaos: note('chaos', 1),
    diffRuns: note('diff-runs', 1),
    doctor: note('doctor', 0),
    status: note('status', 0),
  };
  let out = '';
  let error = '';
  const output = {
    write: (text: string) => {
      out += text;
    },
    writeError: (text: string) => {
      error += text;
    },
  };
  const args = line.split(' ').filter((word) => word !== '');
  const exitCode = await runCommand(args, { version: '1.2.3', handlers, output });
  return { exitCode, out, error, calls };
}

describe('lockstep diff-runs', () => {
  it('takes two runs and gives its exit code', async () => {
    const { exitCode, calls } = await run('diff-runs runs/a runs/b');
    expect(exitCode).toBe(1);
    expect(calls).toEqual([{ command: 'diff-runs', args: ['runs/a', 'runs/b'] }]);
  });

  it('needs both of them', async () => {
    const { exitCode, error } = await run('diff-runs runs/a');
    expect(exitCode).toBe(2);
    expect(error).toContain("missing required argument 'b'");
  });
});

describe('lockstep train', () => {
  it('knows what to do about steps that are not finite', async () => {
    const { calls } = await run('train job.ts --on-non-finite skip --checkpoint-dir runs/a --record-shards');
    expect(calls[0].args[1]).toMatchObject({ onNonFinite: 'skip', recordShards: true });
    const { exitCode, error } = await run('train job.ts --on-non-finite ignore');
    expect(exitCode).toBe(2);
    expect(error).toContain('--on-non-finite cannot be "ignore"; expected one of stop, skip');
  });

  it('has defaults: 2 workers, the first backend that works, one thread', async () => {
    const { exitCode, calls, error } = await run('train job.ts');
    expect(error).toBe('');
    expect(exitCode).toBe(0);
    expect(calls).toEqual([
      {
        command: 'train',
        args: [
          'job.ts',
          {
            verbose: false,
            backend: 'auto',
            threadsPerWorker: 1,
            workers: 2,
            recordShards: false,
            resume: false,
            graceSeconds: 30,
            allowMixed: false,
            quiet: false,
          },
        ],
      },
    ]);
  });

  it('reads every option', async () => {
    const { calls } = await run(
      'train job.ts --workers 3 --shards 8 --seed 7 --epochs 5 --batch-size 64 --data d --backend wasm ' +
        '--checkpoint-dir c --resume --threads-per-worker 2 --report r.json --grace-seconds 5 --wait-for-workers 90 ' +
        '--allow-mixed --quiet --verbose',
    );
    expect(calls[0].args[1]).toEqual({
      graceSeconds: 5,
      waitForWorkers: 90,
      workers: 3,
      shards: 8,
      seed: 7,
      epochs: 5,
      batchSize: 64,
      data: 'd',
      backend: 'wasm',
      checkpointDir: 'c',
      recordShards: false,
      resume: true,
      threadsPerWorker: 2,
      report: 'r.json',
      allowMixed: true,
      quiet: true,
      verbose: true,
    });
  });
});

describe('lockstep coordinator and worker', () => {
  it('reads addresses, also IPv6, and gives the exit code of the command', async () => {
    const { calls, exitCode } = await run(
      'coordinator job.ts --listen [::1]:7070 --token-file t --workers 3',
    );
    expect(calls[0].args[1]).toMatchObject({
      listen: { host: '::1', port: 7070 },
      tokenFile: 't',
      workers: 3,
      insecure: false,
    });
    expect(exitCode).toBe(130);
  });

  it.each([
    ['ws://h:1', 'ws://h:1'],
    ['wss://h:1/x', 'wss://h:1/x'],
    ['10.0.0.1:7070', 'ws://10.0.0.1:7070'],
    ['localhost:7070', 'ws://localhost:7070'],
  ])('joins %s', async (given, url) => {
    const { calls } = await run(`worker --join ${given}`);
    const returning = { rejoinSeconds: 600, silenceSeconds: 120 };
    const others = { backend: 'auto', maxMessageMib: 2_047, verbose: false };
    expect(calls[0].args[0]).toEqual({ join: url, ...returning, ...others });
  });
});

describe('bad arguments', () => {
  it.each([
    [
      'train job.ts --workers 0',
      '--workers cannot be "0"; expected an integer from 1 to 1024',
      '--workers 2',
    ],
    ['train job.ts --workers two', '--workers cannot be "two"; expected an integer', '--workers 2'],
    ['train job.ts --workers 1e3', '--workers cannot be "1e3"; expected an integer', '--workers 2'],
    ['train job.ts --seed -1', '--seed cannot be "-1"; expected an integer from 0', '--seed 2'],
    [
      'train job.ts --backend wsam',
      '--backend cannot be "wsam"; expected one of auto,',
      'Did you mean --backend wasm?',
    ],
    ['train job.ts --wokers 3', "unknown option '--wokers'", 'Did you mean --workers?'],
    ['train job.ts --zebra', "unknown option '--zebra'", 'See lockstep train --help.'],
    ['train', "missing required argument 'job'", 'See lockstep train --help.'],
    ['train a.ts b.ts', "too many arguments for 'train'", 'See lockstep train --help.'],
    ['train job.ts --workers', "option '--workers <n>' argument missing", 'See lockstep train --help.'],
    ['trian job.ts', "unknown command 'trian'", 'Did you mean train?'],
    ['zebra', "unknown command 'zebra'", 'See lockstep --help.'],
    [
      'coordinator job.ts',
      "required option '--listen <host:port>' not specified",
      'See lockstep coordinator --help.',
    ],
    ['coordinator job.ts --listen 7070', '--listen cannot be "7070"; expected HOST:PORT', '0.0.0.0:7070'],
    [
      'coordinator job.ts --listen h:70000',
      '--listen cannot be "h:70000"; expected HOST:PORT',
      '0.0.0.0:7070',
    ],
    [
      'worker --join http://h:1',
      '--join cannot be "http://h:1"; expected a ws:// or wss:// URL',
      'ws://10.0.0.1:7070',
    ],
    [
      'evaluate job.ts',
      "required option '--checkpoint <dir>' not specified",
      'See lockstep evaluate --help.',
    ],
  ])('%s', async (line, what, hint) => {
    const { exitCode, error, calls } = await run(line);
    expect(calls).toEqual([]);
    expect(exitCode).toBe(2);
    const lines = error.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain(`error: ${what}`);
    expect(lines[1]).toMatch(/^ {2}\S/);
    expect(lines[1]).toContain(hint);
    expect(lines[2]).toBe('');
  });

  it('shows the help and exits with 2 when no command is given', async () => {
    const { exitCode, error } = await run('');
    expect(exitCode).toBe(2);
    expect(error).toContain('Usage: lockstep');
  });
});

describe('help', () => {
  it.each(['', 'train ', 'coordinator ', 'worker ', 'evaluate ', 'verify ', 'diff-runs '])(
    'lockstep %s--help teaches by examples',
    async (command) => {
      const { exitCode, out, error, calls } = await run(`${command}--help`);
      expect(exitCode).toBe(0);
      expect(error).toBe('');
      expect(calls).toEqual([]);
      expect(out).toContain('Examples:\n  $ lockstep ');
    },
  );

  it('prints the version', async () => {
    expect(await run('--version')).toMatchObject({ exitCode: 0, out: '1.2.3\n' });
  });
});

describe('failures', () => {
  const failed = new LockstepError('DATA_EMPTY', 'the dataset holds no samples', { hint: 'Give it some.' });

  it('are one line of what and one of what to do, with the exit code of their kind', async () => {
    const { exitCode, error } = await run('train job.ts', failed);
    expect(exitCode).toBe(2);
    expect(error).toBe('error: the dataset holds no samples\n  Give it some.\n');
    const lost = new LockstepError('CONNECTION_LOST', 'gone', { hint: 'Look.' });
    expect((await run('train job.ts', lost)).exitCode).toBe(1);
  });

  it('show code, stack and causes with --verbose', async () => {
    const { error } = await run(
      'train job.ts --verbose',
      new LockstepError('JOB_NOT_FOUND', 'cannot import', {
        hint: 'Fix it.',
        cause: new RangeError('inner'),
      }),
    );
    expect(error).toMatch(
      /^error: cannot import\n {2}Fix it\.\n {2}JOB_NOT_FOUND\nLockstepError: cannot import\n {4}at /,
    );
    expect(error).toContain('caused by RangeError: inner\n    at ');
  });

  it('of the job itself are one line too', () => {
    expect(failureOf(new TypeError('x is not a function\nmore'), false)).toEqual({
      exitCode: 1,
      text: 'error: x is not a function\n  The job or a library threw this; --verbose shows where.\n',
    });
  });

  it('that are bugs always show their stack', () => {
    try {
      invariant(false, 'two commits of one step');
    } catch (bug) {
      const { exitCode, text } = failureOf(bug, false);
      expect(exitCode).toBe(1);
      expect(text).toMatch(/^error: InvariantError: two commits of one step \(this is a bug.*\n {4}at /);
    }
    expect.hasAssertions();
  });
});
