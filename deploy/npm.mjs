// Runs npm the way the user runs it: the npm that started us, else the one on the PATH.
import { spawn } from 'node:child_process';

/**
 * @param {readonly string[]} args
 * @param {{ cwd: string, quiet?: boolean }} options `quiet` keeps npm's output back unless it fails
 * @returns {Promise<{ ok: boolean, output: string }>} `output` is what npm printed if `quiet`, else empty
 */
export function runNpm(args, { cwd, quiet = false }) {
  const execPath = process.env.npm_execpath;
  const fromNpm = execPath !== undefined && /npm-cli\.[cm]?js$/.test(execPath);
  const [command, commandArgs] = fromNpm ? [process.execPath, [execPath, ...args]] : ['npm', args];
  return new Promise((resolve) => {
    const child = spawn(command, commandArgs, {
      cwd,
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
      // npm is a .cmd file on Windows, which only a shell can start; the arguments are our own.
      shell: !fromNpm && process.platform === 'win32',
    });
    let output = '';
    const collect = (chunk) => {
      output += chunk;
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.on('error', (error) => resolve({ ok: false, output: `npm cannot be started: ${error.message}` }));
    child.on('close', (code) => resolve({ ok: code === 0, output }));
  });
}
