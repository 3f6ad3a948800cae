import { fork } from 'node:child_process';
import type { z } from 'zod';
import type { BackendName } from '../shared/backends.js';
import { backendEnvironment } from '../worker/backend/environment.js';

/** What a process says that did not come to an answer of its own. */
export interface NoAnswer {
  readonly works: false;
  readonly reason: string;
  readonly hint: string;
}

export interface ProbeOptions<T> {
  /** Path of the program; it sends one message. */
  readonly program: string;
  readonly args: readonly string[];
  readonly backend: BackendName;
  readonly threads: number;
  readonly deadlineMs: number;
  readonly schema: z.ZodType<T>;
}

/** Tries a backend in a process of its own, which it may bring down. */
export function runProbe<T>(options: ProbeOptions<T>): Promise<T | NoAnswer> {
  const { program, args, backend, threads, deadlineMs, schema } = options;
  const child = fork(program, [...args], {
    env: { ...process.env, ...backendEnvironment(threads) },
    execArgv: program.endsWith('.ts') ? ['--import', 'tsx'] : [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return new Promise((resolve) => {
    let lastWords = '';
    let answer: T | null = null;
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, deadlineMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      lastWords = (lastWords + text).slice(-4_000);
    });
    child.on('message', (message) => {
      answer = schema.parse(message);
    });
    child.on('error', (error) => {
      lastWords += `\n${error.message}`;
    });
    child.on('close', (code, signal) => {
      clearTimeout(deadline);
      const ending = late ? `no result after ${deadlineMs / 1_000} s` : `it ended with ${signal ?? code}`;
      resolve(answer ?? { works: false, reason: describeEnd(ending, lastWords), hint: crashHint(backend) });
    });
  });
}

/** How the process ended, with the line of its last words that names the error. */
function describeEnd(ending: string, lastWords: string): string {
  const lines = lastWords.split('\n').map((line) => line.trim());
  const error = lines.find((line) => /^(?:\w*Error\b|.*\bfatal\b|.*: F )/i.test(line));
  return error === undefined ? ending : `${ending}: ${error.slice(0, 300)}`;
}

function crashHint(backend: BackendName): string {
  return `Choose another with --backend, or reinstall what brings it: npm ci (${backend} crashed or hung).`;
}
