// The process in which a provider of ONNX Runtime is tried before a worker relies on it.
//
//   node provider-probe.js PROVIDER THREADS
import { InvariantError } from '../../shared/errors.js';
import type { Provider } from '../compute/compiled/onnx/runtime-package.js';
import { providerBits } from './onnx.js';

const [name, threads] = process.argv.slice(2);
const provider = (['cpu', 'cuda', 'webgpu'] satisfies Provider[]).find((known) => known === name);
if (provider === undefined) throw new InvariantError(`no provider ${name}`);
process.stdout.write(`${await providerBits(provider, Number(threads))}\n`);
// Not by itself: a driver may keep threads.
process.exit(0);
