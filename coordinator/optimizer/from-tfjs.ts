import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { adadelta, adagrad, adam, adamax, adamw, nadam, rmsprop, sgd } from './configs.js';
import type { OptimizerConfig, OptimizerName } from './optimizer.js';
import { inverseTimeDecay } from './schedules.js';

const byName: Readonly<Record<OptimizerName, () => OptimizerConfig>> = {
  sgd,
  adagrad,
  adadelta,
  rmsprop,
  adam,
  adamw,
  adamax,
  nadam,
};

/**
 * The optimizer with Keras's defaults that a Keras name stands for, in any case: `'adam'`, `'RMSprop'`, …
 * @throws LockstepError BAD_OPTION for an unknown name
 */
export function fromName(name: string): OptimizerConfig {
  const key = name.toLowerCase();
  const found = Object.entries(byName).find(([known]) => known === key);
  if (found === undefined) {
    throw new LockstepError('BAD_OPTION', `unknown optimizer ${name}`, {
      hint: `Use one of ${Object.keys(byName).join(', ')}.`,
    });
  }
  return found[1]();
}

/**
 * Converts what `model.compile({ optimizer })` holds; a string given there has become an instance with the
 * defaults of TensorFlow.js. The numbers are the instance's; the formula is Keras's. Its slots are not read:
 * training starts with fresh ones.
 * @throws LockstepError BAD_OPTION for an optimizer that TensorFlow.js does not define
 */
export function fromTfjs(optimizer: tf.Optimizer): OptimizerConfig {
  // Told apart by class name: a model may come from a second copy of TensorFlow.js, where instanceof fails.
  const className = optimizer.getClassName();
  const config = optimizer.getConfig();
  const learningRate = Number(config.learningRate);
  const number = (key: string): number => Number(config[key]);
  switch (className) {
    case 'SGD':
      return sgd({ learningRate });
    case 'Momentum':
      return sgd({ learningRate, momentum: number('momentum'), nesterov: config.useNesterov === true });
    case 'Adagrad':
      return adagrad({ learningRate, initialAccumulatorValue: number('initialAccumulatorValue') });
    case 'Adadelta':
      return adadelta({ learningRate, rho: number('rho'), epsilon: number('epsilon') });
    case 'RMSProp':
      return rmsprop({
        learningRate,
        rho: number('decay'),
        momentum: number('momentum'),
        epsilon: number('epsilon'),
        centered: config.centered === true,
      });
    case 'Adam':
      return adam({
        learningRate,
        beta1: number('beta1'),
        beta2: number('beta2'),
        epsilon: number('epsilon'),
      });
    case 'Adamax': {
      const decayRate = number('decay');
      return adamax({
        learningRate:
          decayRate > 0
            ? inverseTimeDecay({ initialLearningRate: learningRate, decaySteps: 1, decayRate })
            : learningRate,
        beta1: number('beta1'),
        beta2: number('beta2'),
        epsilon: number('epsilon'),
      });
    }
    default:
      throw new LockstepError('BAD_OPTION', `the model is compiled with an unknown optimizer, ${className}`, {
        hint: `Compile with one of TensorFlow.js's own, or give one of ${Object.keys(byName).join(', ')}.`,
      });
  }
}
