import { didYouMean } from '../../shared/did-you-mean.js';
import { LockstepError } from '../../shared/errors.js';
import type { EvaluateOptions, PredictOptions } from './evaluate-model.js';
import type { FitOptions } from './fit.js';

const fitOptions: Readonly<Record<keyof FitOptions, true>> = {
  epochs: true,
  batchSize: true,
  initialEpoch: true,
  stepsPerEpoch: true,
  shuffle: true,
  shuffleBuffer: true,
  validationSplit: true,
  validationData: true,
  validationBatchSize: true,
  validationFreq: true,
  classWeight: true,
  callbacks: true,
  shards: true,
  seed: true,
  auditFraction: true,
  optimizer: true,
  loss: true,
  lossWeights: true,
  metrics: true,
  weightedMetrics: true,
  checkpoint: true,
  onNonFinite: true,
  recordShards: true,
  signal: true,
  graceMs: true,
  onEvent: true,
};
const predictOptions: Readonly<Record<keyof PredictOptions, true>> = {
  batchSize: true,
  shards: true,
  callbacks: true,
};
const evaluateOptions: Readonly<Record<keyof EvaluateOptions, true>> = {
  ...predictOptions,
  loss: true,
  lossWeights: true,
  metrics: true,
  weightedMetrics: true,
};
const known = { fit: fitOptions, evaluate: evaluateOptions, predict: predictOptions };
/** Options of TensorFlow.js that say how it prints and yields; there is nothing for them to change here. */
const withoutEffect = ['verbose', 'yieldEvery'];
const dataFields = ['x', 'y', 'sampleWeight'];

/**
 * Refuses what would be passed over in silence: a mistyped option computes with its default.
 * @throws LockstepError BAD_OPTION
 */
export function checkOptions(of: keyof typeof known, options: object): void {
  const names = Object.keys(known[of]);
  for (const name of Object.keys(options)) {
    if (names.includes(name) || withoutEffect.includes(name)) continue;
    const near = didYouMean(name, names);
    const otherwise = near === null ? `Options are: ${names.join(', ')}.` : `Did you mean ${near}?`;
    const isWeight = name === 'sampleWeight' && of !== 'predict';
    throw bad(
      `unknown option ${name} of ${of}`,
      isWeight ? `It stands beside x and y: ${of}(model, { x, y, sampleWeight }, options).` : otherwise,
    );
  }
}

/**
 * Refuses what is neither arrays, nor a dataset, nor a stream.
 * @param what for people: `the data`…
 * @throws LockstepError BAD_OPTION
 */
export function checkFitData(what: string, data: unknown): void {
  const hint = 'Give { x, y }, a dataset with length and batch(indices), or a stream with open(epoch).';
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw bad(`${what} is no object`, hint);
  }
  if ('x' in data && 'y' in data && data.y !== undefined) {
    const stray = Object.keys(data).find((name) => !dataFields.includes(name));
    if (stray === undefined) return;
    const near = didYouMean(stray, dataFields);
    throw bad(
      `${what} has a field ${stray}`,
      near === null ? 'It takes x, y and sampleWeight.' : `Did you mean ${near}?`,
    );
  }
  if ('x' in data) throw bad(`${what} has x without y`, hint);
  if ('batch' in data || 'open' in data) return;
  throw bad(`${what} is neither arrays nor a dataset`, hint);
}

function bad(message: string, hint: string): LockstepError {
  return new LockstepError('BAD_OPTION', message, { hint });
}
