import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], extra: Record<string, unknown> = {}) => ({
  // Compiled steps are kept in files where a test is about them, and never in the user's folder.
  test: { name, include, testTimeout: 20_000, env: { LOCKSTEP_CACHE_DIR: 'off' }, ...extra },
});

export default defineConfig({
  test: {
    passWithNoTests: false,
    // At least two, for the two halves of the simulation, which are processes of their own.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // TensorFlow.js advertises its native build in every process that uses another one.
    onConsoleLog: (log) => !log.includes('Hi, looks like you are running TensorFlow.js'),
    reporters: process.env.CI
      ? ['default', ['json', { outputFile: '.cache/vitest-report.json' }]]
      : ['default'],
    projects: [
      project('unit', ['test/unit/**/*.test.ts']),
      project('contract', ['test/contract/**/*.test.ts']),
      project('simulation', ['test/simulation/**/*.test.ts'], {
        globalSetup: ['test/simulation/compile.ts'],
      }),
      // Real processes, which run the built program and often wait for each other: two files at a time keep two
      // cores busy. They come after the rest, which keeps the cores busy by itself.
      project('integration', ['test/integration/**/*.test.ts'], {
        globalSetup: ['test/integration/build.ts'],
        testTimeout: 180_000,
        hookTimeout: 180_000,
        maxWorkers: 2,
        sequence: { groupOrder: 1 },
      }),
    ],
  },
});
