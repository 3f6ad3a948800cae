import { assembleModule, type Code, defineFunction, i32, seq, v128, whileBelow } from './assembler.js';
import './webassembly.js';

/** Elements of a block: the blocks of all operands together stay in the processor's nearer caches. */
const blockSize = 8_192;
/** Vectors of one round of the loop, and their bytes. */
const unrolled = 4;
const roundBytes = 16 * unrolled;
/** Below so many elements plain JavaScript is as fast. */
const leastSize = 1_024;

const pageBytes = 65_536;
/** Where in the memory the float64 scalars lie, a vector of flags for each vector of a round, and the blocks. */
const scalarsAt = 0;
const flagsAt = 64;
const maxOperands = 2;
const blockAt = (operand: number): number => 128 + operand * 4 * blockSize;

/** Loops take turns with one memory: each costs gigabytes of address space. */
let memory: InstanceType<typeof WebAssembly.Memory> | 'unavailable' | null = null;

/** Valid where the host has vectors: on x64 they need SSE 4.1, which virtual machines may hide. */
const copy = defineFunction('copy', 2, (_, to, from) => v128.store(to.get, v128.load(from.get)));

function reserve(): InstanceType<typeof WebAssembly.Memory> | 'unavailable' {
  try {
    if (!WebAssembly.validate(assembleModule([copy]))) return 'unavailable';
    return new WebAssembly.Memory({ initial: Math.ceil(blockAt(maxOperands) / pageBytes) });
  } catch (error) {
    // Without a compiler (`--jitless`) the name is not defined; without address space it is a RangeError.
    if (error instanceof ReferenceError || error instanceof RangeError) return 'unavailable';
    throw error;
  }
}

/** Static addresses of what one vector's worth of the loop works on. Those of operands are to be added to the index. */
export interface StepAddresses {
  readonly operands: readonly number[];
  readonly scalars: readonly number[];
  /** 16 bytes of zeros when the loop begins; it may set bits in them. */
  readonly flags: number;
}

interface Instance {
  readonly loop: (bytes: number) => void;
  readonly scalars: Float64Array;
  readonly flags: Int32Array;
  readonly blocks: readonly Float32Array[];
}

/**
 * A vectorised loop over float32 arrays that lie outside WebAssembly's memory. A block of each is copied in, worked on
 * in the cache, and the first one copied back: plain JavaScript, which has no vectors, takes longer than copies and
 * loop together.
 */
export class BlockLoop {
  readonly #operands: 1 | 2;
  readonly #step: (index: Code, at: StepAddresses) => Code;
  /** Null before the first run; `unavailable` where the host has no vectors, or no address space left for them. */
  #instance: Instance | 'unavailable' | null = null;

  /** @param step works on four elements of every operand; what it is to give replaces those of the first one */
  constructor(operands: 1 | 2, step: (index: Code, at: StepAddresses) => Code) {
    this.#operands = operands;
    this.#step = step;
  }

  /**
   * @param operands float32[n] each
   * @param into float32[n] for what became of the first operand, which may be that operand; null if that is not wanted
   * @returns whether the loop has set a flag; null if nothing was done, because the arrays are too short to gain
   * from it or the host has no vectors
   */
  run(
    operands: readonly Float32Array[],
    into: Float32Array | null,
    scalars: readonly number[],
  ): boolean | null {
    const size = operands[0].length;
    if (size < leastSize) return null;
    this.#instance ??= this.#assemble();
    if (this.#instance === 'unavailable') return null;
    const { loop, blocks, flags, scalars: held } = this.#instance;
    held.set(scalars);
    flags.fill(0);
    for (let begin = 0; begin < size; begin += blockSize) {
      const count = Math.min(blockSize, size - begin);
      for (let i = 0; i < blocks.length; i++) {
        blocks[i].set(operands[i].subarray(begin, begin + count));
        // The last round may reach beyond the arrays: what a block held before must not set a flag.
        if (count < blockSize) blocks[i].fill(0, count);
      }
      loop(4 * count);
      into?.set(count < blockSize ? blocks[0].subarray(0, count) : blocks[0], begin);
    }
    return flags.some((flag) => flag !== 0);
  }

  #assemble(): Instance | 'unavailable' {
    memory ??= reserve();
    if (memory === 'unavailable') return memory;
    const { buffer } = memory;
    const indices = Array.from({ length: this.#operands }, (_, operand) => operand);
    const source = defineFunction('loop', 1, (frame, bytes) => {
      const index = frame.local('i32');
      const steps = Array.from({ length: unrolled }, (_, i) =>
        this.#step(index.get, {
          operands: indices.map((operand) => blockAt(operand) + 16 * i),
          scalars: Array.from({ length: (flagsAt - scalarsAt) / 8 }, (__, scalar) => scalarsAt + 8 * scalar),
          flags: flagsAt + 16 * i,
        }),
      );
      return seq(index.set(i32.const(0)), whileBelow(index, bytes.get, i32.const(roundBytes), seq(...steps)));
    });
    const module = new WebAssembly.Module(assembleModule([source]));
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return {
      ...(exports as { loop: Instance['loop'] }),
      scalars: new Float64Array(buffer, scalarsAt, (flagsAt - scalarsAt) / 8),
      flags: new Int32Array(buffer, flagsAt, (blockAt(0) - flagsAt) / 4),
      blocks: indices.map((operand) => new Float32Array(buffer, blockAt(operand), blockSize)),
    };
  }
}
