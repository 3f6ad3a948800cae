import type { Callback } from '../../coordinator/callbacks/callback.js';

/** Every hook that is called, in order, with its epoch or batch. */
export function recorder(): { callback: Callback; calls: string[] } {
  const calls: string[] = [];
  const say = (hook: string) => (first?: unknown) => {
    calls.push(typeof first === 'number' ? `${hook} ${first}` : hook);
  };
  const callback: Callback = {
    name: 'recorder',
    onTrainBegin: say('train begin'),
    onTrainEnd: say('train end'),
    onEpochBegin: say('epoch begin'),
    onEpochEnd: say('epoch end'),
    onTrainBatchBegin: say('batch begin'),
    onTrainBatchEnd: say('batch end'),
    onTestBegin: say('test begin'),
    onTestEnd: say('test end'),
    onTestBatchBegin: say('test batch begin'),
    onTestBatchEnd: say('test batch end'),
  };
  return { callback, calls };
}
