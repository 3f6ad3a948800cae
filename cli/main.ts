#!/usr/bin/env node
import { version } from '../shared/version.js';
import type { Handlers } from './commands.js';
import { runCommand } from './run-command.js';

// Each command is imported when it runs: help and mistakes need no TensorFlow.js.
const handlers: Handlers = {
  train: async (job, options) => (await import('./train.js')).train(job, options),
  coordinator: async (job, options) => (await import('./coordinator.js')).coordinator(job, options),
  worker: async (options) => (await import('./worker.js')).worker(options),
  evaluate: async (job, options) => (await import('./evaluate.js')).evaluate(job, options),
  verify: async (job, options) => (await import('./verify.js')).verify(job, options),
  status: async (target, options) =>
    (await import('./status.js')).status(target, options, {
      write: (text) => process.stdout.write(text),
      warn: (text) => process.stderr.write(`warning: ${text}\n`),
    }),
  chaos: async (job, options) => (await import('./chaos.js')).chaos(job, options),
  diffRuns: async (a, b) =>
    (await import('./diff-runs.js')).diffRuns(a, b, (line) => process.stdout.write(`${line}\n`)),
  doctor: async (job, { threads, data }) => {
    const write = (line: string): void => void process.stdout.write(`${line}\n`);
    if (job === null) return (await import('./doctor.js')).runDoctor({ threads, write });
    return (await import('./doctor-job.js')).runJobDoctor(job, { threads, data, write });
  },
};

const exitCode = await runCommand(process.argv.slice(2), {
  version,
  handlers,
  output: {
    write: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
  },
});
// A thread or socket of a library must not keep the process: what was to be closed has been closed.
process.exit(exitCode);
