import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { EffectTable } from './system/table.js';

export interface CampaignRequest {
  readonly first: number;
  /** Distance between two seeds. */
  readonly every: number;
  readonly runs: number;
  /** A module to load before all others, which may change the sources; without it the compiled program runs (compile.ts). */
  readonly preload?: { readonly path: string; readonly env: Readonly<Record<string, string>> };
}

export type CampaignResult =
  | {
      readonly status: 'kept';
      readonly runs: number;
      readonly steps: number;
      readonly fewestSteps: number;
      readonly encoded: number;
      /** Processor time that it took, the start of the process included. */
      readonly processorMs: number;
      readonly effects: EffectTable;
    }
  /** A run broke a promise, as `error` says. */
  | { readonly status: 'broken'; readonly error: string };

/** Runs a campaign in a process of its own: as the program runs, without what a test runner does to modules. */
export function runCampaign({ first, every, runs, preload }: CampaignRequest): Promise<CampaignResult> {
  const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  // Where an error was made is seen when its seed is replayed; the loader of sources cannot do without.
  const program =
    preload === undefined
      ? [
          '--stack-trace-limit=0',
          pathOf('../../.cache/simulation/test/simulation/system/campaign-process.js'),
        ]
      : ['--import', preload.path, '--import', 'tsx', pathOf('./system/campaign-process.ts')];
  const counts = [first, every, runs].map(String);
  // Much is made and soon forgotten, and much code is run a few thousand times only: a larger nursery spares the
  // collector work, and compiling everything at once spares the interpreter.
  const engine = ['--max-semi-space-size=64', '--always-sparkplug'];
  const child = spawn(process.execPath, [...engine, ...program, ...counts], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...preload?.env },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) return resolve({ status: 'broken', error: errors });
      const { effects, ...report } = JSON.parse(output);
      resolve({ status: 'kept', ...report, effects: EffectTable.of(effects) });
    });
  });
}
