import * as tf from '@tensorflow/tfjs';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { freezeLayers, type Manifest, manifestOf } from '../../shared/manifest.js';
import type { ProgramSpec } from '../../shared/program.js';
import { registerGradients } from './gradients/register.js';
import { registerLayers } from './layers/register.js';

/** Initialisers that cost time and whose values the run's first weights replace anyway. */
const replaceable = new Set([
  'Orthogonal',
  'VarianceScaling',
  'GlorotUniform',
  'GlorotNormal',
  'HeUniform',
  'HeNormal',
  'LeCunUniform',
  'LeCunNormal',
  'RandomUniform',
  'RandomNormal',
  'TruncatedNormal',
]);

type Topology = Parameters<typeof tf.models.modelFromJSON>[0];

const zeros = { class_name: 'Zeros', config: {} };

/** The topology with zeros for its slow initialisers. */
function withoutSlowInitializers(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutSlowInitializers);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => {
    const slow = key.endsWith('_initializer') && replaceable.has(value?.class_name);
    return [key, slow ? zeros : withoutSlowInitializers(value)];
  });
  return Object.fromEntries(entries);
}

/**
 * Builds a run's model from its topology, with our layers in the place of the stock ones of the same names and
 * exactly the run's layers frozen. The weights' values are unspecified until `setWeights`.
 * @throws LockstepError MODEL_UNSUPPORTED if the topology names what this process cannot build
 */
export async function buildModel(
  spec: Pick<ProgramSpec, 'topology' | 'frozenLayers'>,
): Promise<{ model: tf.LayersModel; manifest: Manifest }> {
  registerLayers();
  registerGradients();
  const modelTopology = withoutSlowInitializers(spec.topology) as Topology;
  let model: tf.LayersModel;
  try {
    model = await tf.models.modelFromJSON(modelTopology);
  } catch (error) {
    throw new LockstepError('MODEL_UNSUPPORTED', `the model cannot be built: ${messageOf(error)}`, {
      hint: 'A custom layer must be registered with tf.serialization.registerClass in the job file.',
      cause: error,
    });
  }
  freezeLayers(model, spec.frozenLayers);
  return { model, manifest: manifestOf(model) };
}
