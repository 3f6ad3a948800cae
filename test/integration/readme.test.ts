import { type ExecFileException, execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What the README tells people to do, done as they would: from the packed package, in an empty folder.

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], cwd: string, timeoutMs = 170_000): Promise<Finished> {
  // npm hands its settings down in variables; a person's shell has none of them.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(config|package|lifecycle)_/i.test(name)),
  );
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { cwd, env, timeout: timeoutMs, maxBuffer: 64 * 2 ** 20 },
      (error: ExecFileException | null, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      },
    );
  });
}

describe('the README', () => {
  let folder: string;
  let readme: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockstep-readme-'));
    readme = await readFile(join(root, 'README.md'), 'utf8');
    // dist is fresh: packing again must not compile under the feet of this test.
    const packed = await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], root);
    const tarball = packed.stdout.trim().split('\n').at(-1) ?? '';
    await writeFile(join(folder, 'package.json'), '{ "private": true }');
    // Optional packages download native code for minutes; the program must run without them.
    const installed = await run(
      'npm',
      ['install', '--omit=optional', '--no-audit', '--no-fund', '--prefer-offline', `./${tarball}`],
      folder,
    );
    expect(installed.stderr + installed.stdout, 'npm install').toContain('added');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has a program that runs as written, from the packed package in an empty folder', async () => {
    const [, program] = /```js\n([\s\S]*?)```/.exec(readme) ?? [];
    await writeFile(join(folder, 'train.mjs'), program);
    const { code, stdout, stderr } = await run('node', ['train.mjs'], folder);
    expect(code, stderr).toBe(0);
    const epochs = [...stdout.matchAll(/^epoch (\d+): val_loss (\d\.\d{4}), step (\d+)$/gm)];
    expect(epochs.length).toBeGreaterThan(3);
    // 800 training rows in batches of 50.
    expect(epochs.map(([, epoch, , step]) => Number(step) / Number(epoch))).toEqual(epochs.map(() => 16));
    const [, first, last] = /loss (\d\.\d+) -> (\d\.\d+)/.exec(stdout) ?? [];
    expect(Number(last)).toBeLessThan(0.6 * Number(first));
  });

  it('names only commands and options that exist', async () => {
    const lines = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => block.split('\n'));
    const commands = lines.flatMap(
      (line) => /^(?:npx )?lockstep (\w+)(.*?)(?:\s+#.*)?$/.exec(line.trim())?.slice(1, 3).join(' ') ?? [],
    );
    expect(commands.length).toBeGreaterThanOrEqual(7);
    for (const command of commands) {
      const [name, ...args] = command.split(/\s+/);
      const help = await run('npx', ['lockstep', name, '--help'], folder);
      expect(help.code, `lockstep ${name} --help`).toBe(0);
      for (const option of args.filter((arg) => arg.startsWith('--'))) expect(help.stdout).toContain(option);
    }
  });

  it('has links that lead somewhere', async () => {
    for (const [, target] of readme.matchAll(/\]\(([^)#:]+)\)/g)) {
      await expect(
        readFile(join(root, target)).catch((error: NodeJS.ErrnoException) => error.code === 'EISDIR'),
        target,
      ).resolves.toBeTruthy();
    }
  });
});
