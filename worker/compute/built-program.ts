import type { Clock } from '../../shared/clock.js';
import type { Manifest } from '../../shared/manifest.js';
import type { ShardProgram } from '../../shared/program.js';
import type { ModelShape } from '../model-shape.js';
import type { Canary } from './canary.js';

/** What came of trying a program on made-up shards. */
export type Trial =
  | { readonly verdict: 'fits' }
  /** It cannot compute the model, or computes something else than the model op by op. */
  | { readonly verdict: 'refused'; readonly reason: string }
  /** The model cannot compute made-up shards. */
  | { readonly verdict: 'unknown'; readonly reason: string };

/** A program that can compute. */
export interface BuiltProgram {
  readonly program: ShardProgram;
  readonly manifest: Manifest;
  /** What its messages hold. */
  readonly rows: Pick<ModelShape, 'inputs' | 'outputs'>;
  /** Computes the canary shard of so many rows; the program's weights are others afterwards. Absent: it has none. */
  readonly canary?: (rows: number, clock: Clock) => Promise<Canary | null>;
  /**
   * Tries whether it can be trusted with the model; its weights are others afterwards. Absent: it defines what the
   * model computes.
   * @param training whether it is to train, or only to evaluate and predict
   */
  readonly tryOut?: (training: boolean) => Promise<Trial>;
}
