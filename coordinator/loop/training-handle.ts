import type { Training } from '../callbacks/callback.js';
import { saveModel } from '../checkpoint/saved-model.js';
import type { Position, TrainingPlan } from './training-plan.js';

/** Whether a callback asked for the end of the training. */
export interface StopRequest {
  requested: boolean;
}

/** The parts of a plan that callbacks can reach; an evaluation has them too. */
export type Reachable = Pick<
  TrainingPlan,
  'state' | 'epochs' | 'source' | 'validation' | 'program' | 'onEvent'
>;

/** What callbacks get to see and do. */
export function trainingFor(plan: Reachable, stop: StopRequest, position: () => Position): Training {
  const { state, epochs, source, validation, program, onEvent } = plan;
  return {
    params: {
      epochs,
      steps: source.stepsPerEpoch,
      batchSize: source.batchSize,
      validation: validation !== null,
    },
    get step() {
      return position().step;
    },
    get epoch() {
      return position().epoch;
    },
    get stopTraining() {
      return stop.requested;
    },
    set stopTraining(requested) {
      stop.requested = requested;
    },
    get learningRate() {
      return state.learningRate(position().epoch);
    },
    set learningRate(rate) {
      state.setLearningRate(rate);
    },
    getWeights: () => state.getWeights(),
    setWeights: (weights) => state.setWeights(weights),
    saveModel: (directory) =>
      saveModel(
        { topology: program.topology, manifest: state.manifest, flat: state.weights.flat.slice() },
        directory,
      ),
    print: (message) => onEvent({ type: 'notice', message }),
  };
}
