import { describe, expect, it } from 'vitest';
import type { CanonicalModel } from '../../coordinator/loop/canonical-model.js';
import { describeProgram, type Objective } from '../../coordinator/loop/program.js';

const canonical: CanonicalModel = {
  topology: { class_name: 'Model' },
  manifest: { weights: [], trainableSize: 0, totalSize: 0, batchNorms: [], frozenLayers: ['base'] },
  outputNames: ['first', 'second'],
  outputElements: [1, 1],
};
/** The user's names; the canonical ones may be others. */
const outputNames = ['left', 'right'];

const describeBoth = (objective: Objective, hasJob = false) =>
  describeProgram({ outputNames }, canonical, objective, { seed: 5, hasJob });
const namesOf = (objective: Objective) => describeBoth(objective).outputs.map(({ loss }) => loss);

const mse = expect.objectContaining({ kind: 'builtin', name: 'meanSquaredError' });
const mae = expect.objectContaining({ kind: 'builtin', name: 'meanAbsoluteError' });

describe('a program', () => {
  it('is plain data under the canonical names', () => {
    const program = describeBoth({ loss: 'meanSquaredError' });
    expect(program).toMatchObject({ topology: { class_name: 'Model' }, frozenLayers: ['base'], seed: 5 });
    expect(program.outputs.map(({ name }) => name)).toEqual(['first', 'second']);
    expect(JSON.parse(JSON.stringify(program))).toEqual(program);
  });

  it.each([
    ['one loss for all outputs', 'meanSquaredError', [mse, mse]],
    ['a list', ['meanSquaredError', 'mae'], [mse, mae]],
    ['a record by output name', { right: 'mse', left: 'meanAbsoluteError' }, [mae, mse]],
  ])('takes %s', (_what, loss, expected) => {
    expect(namesOf({ loss })).toEqual(expected);
  });

  it('takes a record by output name also where an output is named like a field of a reference', () => {
    const loss = { kind: 'mse', name: 'mae' };
    const { outputs } = describeProgram(
      { outputNames: ['kind', 'name'] },
      canonical,
      { loss },
      { seed: 5, hasJob: false },
    );
    expect(outputs.map((output) => output.loss)).toEqual([mse, mae]);
  });

  it('takes loss weights by output, 1 by default', () => {
    const weightsOf = (lossWeights?: Objective['lossWeights']) =>
      describeBoth({ loss: 'mse', ...(lossWeights === undefined ? {} : { lossWeights }) }).outputs.map(
        ({ lossWeight }) => lossWeight,
      );
    expect(weightsOf()).toEqual([1, 1]);
    expect(weightsOf([0.5, 2])).toEqual([0.5, 2]);
    expect(weightsOf({ right: 3, left: 4 })).toEqual([4, 3]);
  });

  it('takes metrics for every output, or by output, weighted or not', () => {
    const specs = (objective: Partial<Objective>) =>
      describeBoth({ loss: 'mse', ...objective }).metrics.map(({ output, label, weighted }) => [
        output,
        label,
        weighted,
      ]);
    expect(specs({ metrics: ['mae'] })).toEqual([
      [0, 'mae', false],
      [1, 'mae', false],
    ]);
    expect(specs({ metrics: { right: ['mae', 'mse'] }, weightedMetrics: { left: 'mae' } })).toEqual([
      [1, 'mae', false],
      [1, 'mse', false],
      [0, 'mae', true],
    ]);
  });

  it.each([
    ['a list of another length', { loss: ['mse'] }, '1 entries, the model 2 outputs'],
    ['an output that the model does not have', { loss: { left: 'mse', up: 'mse' } }, '"up"'],
    ['a record that lacks an output', { loss: { left: 'mse' } }, 'lacks the output "right"'],
    ['a loss that does not exist', { loss: 'meanSquareError' }, 'meanSquareError'],
    ['metrics of an output that does not exist', { loss: 'mse', metrics: { up: 'mae' } }, '"up"'],
  ])('refuses %s by name', (_what, objective, message) => {
    expect(() => describeBoth(objective as Objective)).toThrow(
      expect.objectContaining({ code: 'JOB_INVALID', message: expect.stringContaining(message) }),
    );
  });

  it('refers to functions of a job file by where they are, and refuses those of a closure', () => {
    const squared = (): never => expect.fail('never called here');
    const loss = { left: 'mse', right: squared };
    expect(describeBoth({ loss }, true).outputs[1].loss).toEqual({
      kind: 'job',
      key: 'loss/right',
      name: 'squared',
    });
    expect(() => describeBoth({ loss })).toThrow(
      expect.objectContaining({ code: 'CODE_NOT_PORTABLE', hint: expect.stringContaining('job file') }),
    );
  });
});
