import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planOf } from './exact-run.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

describe('compiled steps that runs leave in files', () => {
  let run: TestRun;
  beforeAll(async () => {
    run = await TestRun.begin();
  });
  afterAll(() => run.end());

  const train = (job: string, workers: number, folder: string, faults: string[] = []): Promise<Trained> => {
    const options = ['--workers', String(workers), '--shards', '4', '--seed', '7', '--backend', 'onnx:cpu'];
    return run.train([fixtureJob(job), ...options, ...faults], {
      LOCKSTEP_CACHE_DIR: folder,
      NODE_DEBUG: 'lockstep',
    });
  };

  const filesOf = (folder: string) =>
    new Map(
      readdirSync(join(folder, 'steps')).map((name) => {
        const path = join(folder, 'steps', name);
        const { ino, mtimeMs } = statSync(path);
        return [name, { path, ino, mtimeMs, bytes: readFileSync(path) }];
      }),
    );

  it('have the bytes that any process writes, and every run with or without them has the same bits, one whose worker dies too', async () => {
    const [folder, other] = [run.at('two'), run.at('one')];
    const [cold, alone, without] = await Promise.all([
      train('cnn', 2, folder),
      train('cnn', 1, other),
      train('cnn', 1, 'off'),
    ]);
    const kept = filesOf(folder);
    // Training of the first shard of a full and of a ragged batch would be two already; there is a trial before them.
    expect(kept.size).toBeGreaterThan(2);
    expect([...filesOf(other)].map(([name, { bytes }]) => [name, bytes]).sort()).toEqual(
      [...kept].map(([name, { bytes }]) => [name, bytes]).sort(),
    );
    const [[damaged, { path, bytes }], ...intact] = kept;
    const flipped = Buffer.from(bytes);
    flipped[flipped.length >> 1] ^= 1;
    writeFileSync(path, flipped);
    const plan = await planOf(run, [{ step: 2, phase: 'computing', do: 'kill' }]);
    const warm = await train('cnn', 2, folder, ['--faults', plan]);
    expect(warm.report.faults).toHaveLength(1);
    expect(warm.stderr).toContain(
      `cannot use the file of a step in ${join(folder, 'steps')}: ${damaged} is damaged`,
    );
    const after = filesOf(folder);
    expect(after.size).toBe(kept.size);
    expect(after.get(damaged)?.bytes).toEqual(bytes);
    for (const [name, { ino, mtimeMs }] of intact) {
      // Read, and not written again.
      expect(after.get(name)?.ino).toBe(ino);
      expect(after.get(name)?.mtimeMs).toBeGreaterThan(mtimeMs);
    }
    for (const { report } of [alone, without, warm]) expect(bitsOf({ report })).toEqual(bitsOf(cold));
    expect(cold.stderr + alone.stderr + without.stderr).not.toContain('of a step');
    const { stdout } = await run.start(['doctor', fixtureJob('cnn')], {
      LOCKSTEP_CACHE_DIR: folder,
      LOCKSTEP_TFJS_NODE: '/nowhere',
    }).ended;
    expect(stdout).toMatch(/ emit [\d.]+ m?s \([\d.]+ m?s from the file of an earlier run\), session /);
  });

  it('are not made for a job with a layer of its own, though it compiles', async () => {
    const { report } = await train('own-layer', 1, run.at('own'));
    expect(report.fingerprint?.backend).toBe('onnx:cpu');
    expect(existsSync(run.at('own'))).toBe(false);
  });
});
