import { debuglog, isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../../shared/errors.js';
import type { ShardStep } from '../shard-step.js';
import type { Provider } from './onnx/runtime-package.js';
import type { StepFolder } from './step-folder.js';
import { programText, sha256Of } from './step-key.js';
import type { WrittenStep } from './write-step.js';

/** What `NODE_DEBUG=lockstep` shows. */
const debug = debuglog('lockstep');

/**
 * The written steps of a program that earlier processes left in files. A file is a convenience: one that cannot be
 * read, or cannot be written, costs a line of `NODE_DEBUG=lockstep`.
 *
 * Only for a program of Lockstep's and TensorFlow.js's own parts: what layers and functions of a job import follows
 * from nothing that the key holds.
 */
export class KeptSteps {
  readonly #folder: StepFolder;
  readonly #program: () => string;
  #text: string | null = null;

  constructor(folder: StepFolder, step: ShardStep, provider: Provider) {
    this.#folder = folder;
    this.#program = () => programText(step, provider);
  }

  /**
   * The step, from its file if there is a good one, or else written and left in a file.
   * @param key of the step among the program's
   */
  get<Step extends WrittenStep>(key: string, write: () => Step): Step {
    const found = this.find<Step>(key);
    if (found !== null) return found;
    const step = write();
    this.#forgivingly('cannot keep a step', () => {
      const name = this.#nameOf(key);
      this.#folder.write(name, encodeStep(name, step));
    });
    return step;
  }

  /** The step from its file; null if there is no good one. */
  find<Step extends WrittenStep>(key: string): Step | null {
    return this.#forgivingly('cannot use the file of a step', () => {
      const name = this.#nameOf(key);
      const bytes = this.#folder.read(name);
      // What has the name and the checksum was written by this very program text, with these types.
      return bytes === null ? null : (decodeStep(name, bytes) as Step);
    });
  }

  #nameOf(key: string): string {
    this.#text ??= this.#program();
    return sha256Of(`${this.#text}\n${key}`);
  }

  #forgivingly<T>(what: string, act: () => T): T | null {
    try {
      return act();
    } catch (error) {
      debug('%s in %s: %s', what, this.#folder.path, messageOf(error));
      return null;
    }
  }
}

/*
 * A file is a line of text with the SHA-256 of all that follows, a line of JSON that says which step it is and how its
 * graph is fed and read, and the graph as ONNX.
 */

const mark = 'lockstep step ';
const headLength = mark.length + 64 + 1;

/** @throws RangeError if JSON cannot hold the step */
export function encodeStep(name: string, { model, ...plain }: WrittenStep): Uint8Array {
  const about = JSON.stringify({ name, ...plain });
  if (!isDeepStrictEqual(JSON.parse(about), { name, ...plain })) throw new RangeError('it is no plain JSON');
  const body = Buffer.concat([Buffer.from(`${about}\n`), model]);
  return Buffer.concat([Buffer.from(`${mark}${sha256Of(body)}\n`), body]);
}

/** @throws RangeError for a file that is damaged, or of something else */
export function decodeStep(name: string, bytes: Uint8Array): WrittenStep {
  const body = bytes.subarray(headLength);
  const head = Buffer.from(bytes.subarray(0, headLength)).toString('latin1');
  if (head !== `${mark}${sha256Of(body)}\n`) throw new RangeError(`${name} is damaged`);
  const end = body.indexOf('\n'.charCodeAt(0));
  const { name: written, ...plain } = JSON.parse(Buffer.from(body.subarray(0, end)).toString());
  if (written !== name) throw new RangeError(`${name} is the file of another step`);
  return { ...plain, model: body.subarray(end + 1) };
}
