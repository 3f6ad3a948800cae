/**
 * A small assembler for WebAssembly SIMD functions that work on a given memory. It exists because the loops of a
 * backward pass (filter gradients, pooling, reductions) have no kernel in the stock backend, and plain JavaScript
 * has no vectors; written here, they are specialised and unrolled by ordinary loops of the code that emits them.
 * Encodings: WebAssembly core specification 2.0, chapter 5, with the vector instructions of section 5.4.8.
 * Every instruction used is IEEE-exact: no fused or relaxed operation, so the bits are the same on every machine.
 */

/** Encoded instructions. Expressions leave one value on the stack, statements none. */
export type Code = readonly number[];

export type ValueType = 'i32' | 'f32' | 'v128';

const valueTypes = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;
const emptyBlock = 0x40;

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

const vector = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, body: readonly number[]): number[] => [id, ...unsigned(body.length), ...body];
const name = (text: string): number[] => {
  const bytes = new TextEncoder().encode(text);
  return [...unsigned(bytes.length), ...bytes];
};

/** Statements one after another. */
export const seq = (...parts: readonly Code[]): Code => parts.flat();

const binary =
  (...opcode: number[]) =>
  (a: Code, b: Code): Code => [...a, ...b, ...opcode];
const unary =
  (...opcode: number[]) =>
  (a: Code): Code => [...a, ...opcode];
const load =
  (...opcode: number[]) =>
  (address: Code, offset = 0): Code => [...address, ...opcode, 2, ...unsigned(offset)];
const store =
  (...opcode: number[]) =>
  (address: Code, value: Code, offset = 0): Code => [...address, ...value, ...opcode, 2, ...unsigned(offset)];
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: binary(0x6a),
  sub: binary(0x6b),
  mul: binary(0x6c),
  and: binary(0x71),
  equal: binary(0x46),
  lessThan: binary(0x48),
  greaterOrEqual: binary(0x4e),
  load: load(0x28),
};

export const f32 = {
  const: (value: number): Code => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)],
  add: binary(0x92),
  mul: binary(0x94),
  equal: binary(0x5b),
  greater: binary(0x5e),
  load: load(0x2a),
  store: store(0x38),
};

export const v128 = {
  load: load(...simd(0)),
  loadSplat: load(...simd(9)),
  store: store(...simd(11)),
  /** Two floats, and zeros above them. */
  load64Zero: load(...simd(93)),
  load64Splat: load(...simd(10)),
  /** The lower two floats. */
  storeLow64: (address: Code, value: Code, offset = 0): Code => [
    ...[...address, ...value, ...simd(91), 3],
    ...[...unsigned(offset), 0],
  ],
  and: binary(...simd(78)),
  /** Bits of the first operand that are not set in the second. */
  andNot: binary(...simd(79)),
  or: binary(...simd(80)),
};

export const f32x4 = {
  splat: unary(...simd(19)),
  lane: (vector: Code, lane: 0 | 1 | 2 | 3): Code => [...vector, ...simd(31), lane],
  equal: binary(...simd(65)),
  greater: binary(...simd(68)),
  add: binary(...simd(228)),
  sub: binary(...simd(229)),
  mul: binary(...simd(230)),
  /** Two float64 rounded to the lower two lanes, and zeros above them. */
  demote: unary(...simd(94)),
};

export const f64x2 = {
  /** Of the lower two lanes of floats. */
  promoteLow: unary(...simd(95)),
  sub: binary(...simd(241)),
  mul: binary(...simd(242)),
};

export const i32x4 = {
  splat: unary(...simd(17)),
  equal: binary(...simd(55)),
};

/** A parameter or local variable of the function being assembled. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
  /** Adds an i32 to an i32 local. */
  advance(by: Code): Code;
}

/** Runs `body` while `index` < `end` (signed: counts, not addresses), adding `step` to `index` after each round. */
export function whileBelow(index: Local, end: Code, step: Code, body: Code): Code {
  return [
    ...[0x02, emptyBlock],
    ...[...i32.greaterOrEqual(index.get, end), 0x0d, 0],
    ...[0x03, emptyBlock],
    ...body,
    ...index.advance(step),
    ...[...i32.lessThan(index.get, end), 0x0d, 0],
    ...[0x0b, 0x0b],
  ];
}

/** Runs `then` if the i32 `condition` is not zero, otherwise `otherwise`. */
export function when(condition: Code, then: Code, otherwise: Code = []): Code {
  return [
    ...condition,
    0x04,
    emptyBlock,
    ...then,
    ...(otherwise.length > 0 ? [0x05, ...otherwise] : []),
    0x0b,
  ];
}

/** The locals of one function. */
export class Frame {
  readonly types: ValueType[] = [];

  constructor(readonly parameterCount: number) {}

  local(type: ValueType): Local {
    this.types.push(type);
    return localAt(this.parameterCount + this.types.length - 1);
  }

  locals(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }
}

function localAt(index: number): Local {
  const encoded = unsigned(index);
  const get: Code = [0x20, ...encoded];
  const set = (value: Code): Code => [...value, 0x21, ...encoded];
  return { get, set, advance: (by) => set(i32.add(get, by)) };
}

/** One exported function: its i32 parameters by name, no result. */
export interface FunctionSource {
  readonly name: string;
  readonly code: Code;
  readonly parameterCount: number;
  readonly locals: readonly ValueType[];
}

/** Assembles a function of i32 parameters; `body` gets them in order, after the frame that holds the locals. */
export function defineFunction(
  functionName: string,
  parameterCount: number,
  body: (frame: Frame, ...parameters: Local[]) => Code,
): FunctionSource {
  const frame = new Frame(parameterCount);
  const parameters = Array.from({ length: parameterCount }, (_, i) => localAt(i));
  const code = body(frame, ...parameters);
  return { name: functionName, code, parameterCount, locals: frame.types };
}

/** The bytes of a module that imports `env.memory` and exports the functions. */
export function assembleModule(functions: readonly FunctionSource[]): Uint8Array<ArrayBuffer> {
  const signature = ({ parameterCount }: FunctionSource): Code => [
    0x60,
    ...vector(Array.from({ length: parameterCount }, () => [valueTypes.i32])),
    0,
  ];
  const body = ({ code, locals }: FunctionSource): Code => {
    const bytes = [...vector(locals.map((type) => [1, valueTypes[type]])), ...code, 0x0b];
    return [...unsigned(bytes.length), ...bytes];
  };
  const memoryImport: Code = [...name('env'), ...name('memory'), 0x02, 0x00, 0];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(functions.map(signature))),
    ...section(2, vector([memoryImport])),
    ...section(3, vector(functions.map((_, i) => unsigned(i)))),
    ...section(7, vector(functions.map((f, i) => [...name(f.name), 0x00, ...unsigned(i)]))),
    ...section(10, vector(functions.map(body))),
  ]);
}
