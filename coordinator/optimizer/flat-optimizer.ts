import { LockstepError } from '../../shared/errors.js';
import type { WeightSpec } from '../../shared/manifest.js';
import { clipGradient } from '../reduce/clip.js';
import { paramsOf } from './configs.js';
import type { Optimizer, OptimizerConfig, Slots } from './optimizer.js';
import { adadeltaRule } from './rules/adadelta.js';
import { adagradRule } from './rules/adagrad.js';
import { adamRule } from './rules/adam.js';
import { adamaxRule } from './rules/adamax.js';
import { nadamRule } from './rules/nadam.js';
import { rmspropRule } from './rules/rmsprop.js';
import type { UpdateRule } from './rules/rule.js';
import { sgdRule } from './rules/sgd.js';

/**
 * Makes the optimizer that a configuration describes, with empty slots. A variable's slots come into being
 * with its first update; all of the state is in them and in the caller's `iteration`, so a resumed run
 * continues with the same bits.
 * @throws LockstepError BAD_OPTION if the configuration's parameters are not those of its optimizer
 */
export function createOptimizer(config: OptimizerConfig): Optimizer {
  const rule = ruleOf(config);
  const slotNames = Object.keys(rule.slots);
  let slotsByVariable = new Map<string, Slots>();

  const slotsOf = ({ name, size }: WeightSpec): Slots => {
    const found = slotsByVariable.get(name);
    if (found === undefined) {
      const entries = slotNames.map((slot) => [slot, new Float32Array(size).fill(rule.slots[slot])] as const);
      const created = Object.fromEntries(entries);
      if (slotNames.length > 0) slotsByVariable.set(name, created);
      return created;
    }
    for (const slot of slotNames) {
      if (found[slot].length !== size) {
        throw mismatch(`slot ${slot} of ${name} has ${found[slot].length} elements, the weight ${size}`);
      }
    }
    return found;
  };

  return {
    config,

    apply({ manifest, weights, gradient, next, learningRate, iteration }) {
      clipGradient(manifest, gradient, config);
      const shrink = 1 - config.weightDecay * learningRate;
      for (const weight of manifest.weights) {
        if (!weight.trainable) continue;
        const end = weight.offset + weight.size;
        rule.update({
          weights: weights.subarray(weight.offset, end),
          gradient: gradient.subarray(weight.offset, end),
          next: next.subarray(weight.offset, end),
          slots: slotsOf(weight),
          learningRate,
          iteration,
          shrink,
        });
      }
    },

    slots: () => slotsByVariable,

    loadSlots(loaded) {
      const copied = new Map<string, Slots>();
      for (const [variable, slots] of loaded) {
        const given = Object.keys(slots);
        if (given.length !== slotNames.length || given.some((slot) => !slotNames.includes(slot))) {
          throw mismatch(
            `${variable} has the slots [${given.join(', ')}], ${config.name} needs [${slotNames.join(', ')}]`,
          );
        }
        if (new Set(given.map((slot) => slots[slot].length)).size > 1) {
          throw mismatch(`the slots of ${variable} differ in length`);
        }
        copied.set(variable, Object.fromEntries(given.map((slot) => [slot, slots[slot].slice()])));
      }
      slotsByVariable = copied;
    },
  };
}

function ruleOf(config: OptimizerConfig): UpdateRule {
  switch (config.name) {
    case 'sgd':
      return sgdRule(paramsOf('sgd', config.params));
    case 'adagrad':
      return adagradRule(paramsOf('adagrad', config.params));
    case 'adadelta':
      return adadeltaRule(paramsOf('adadelta', config.params));
    case 'rmsprop':
      return rmspropRule(paramsOf('rmsprop', config.params));
    case 'adam':
    case 'adamw':
      return adamRule(paramsOf(config.name, config.params));
    case 'adamax':
      return adamaxRule(paramsOf('adamax', config.params));
    case 'nadam':
      return nadamRule(paramsOf('nadam', config.params));
  }
}

function mismatch(what: string): LockstepError {
  return new LockstepError('CHECKPOINT_MISMATCH', `optimizer state does not fit: ${what}`, {
    hint: 'Resume with the model and the optimizer that the checkpoint was written with.',
  });
}
