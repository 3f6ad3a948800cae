import { bytesOf } from '../../../../shared/tensors.js';
import type { ValueType } from '../graph.js';
import { attributeTypes, elementTypes, encodeModel, irVersion, operatorSet } from './schema.js';

type ElementType = keyof typeof elementTypes;
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };
export type OnnxAttributes = Readonly<Record<string, OnnxAttribute>>;

/** ONNX Runtime's own operators. */
const runtimeDomain = 'com.microsoft';

/** Names in the graph's one namespace. An empty name is an input left out. */
type Name = string;

const typedArrays = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

/** An ONNX graph in the making: operators are added in the order in which they can run. */
export class OnnxGraph {
  readonly #nodes: object[] = [];
  readonly #initializers: object[] = [];
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];
  readonly #constants = new Map<string, Name>();
  #names = 0;

  /** How many operators there are. */
  get size(): number {
    return this.#nodes.length;
  }

  input(dtype: ValueType, shape: readonly number[]): Name {
    const name = this.#name('input');
    this.#inputs.push(valueInfo(name, dtype, shape));
    return name;
  }

  output(source: Name, dtype: ValueType, shape: readonly number[]): Name {
    const name = this.#name('output');
    this.#push('Identity', [source], {}, [name], '');
    this.#outputs.push(valueInfo(name, dtype, shape));
    return name;
  }

  /** An operator with one output: its name. */
  op(type: string, inputs: readonly Name[], attributes: OnnxAttributes = {}): Name {
    return this.ops(type, inputs, 1, attributes)[0];
  }

  /** An operator with several outputs. */
  ops(type: string, inputs: readonly Name[], outputs: number, attributes: OnnxAttributes = {}): Name[] {
    const names = Array.from({ length: outputs }, () => this.#name(type));
    this.#push(type, inputs, attributes, names, '');
    return names;
  }

  /** One of ONNX Runtime's own operators (docs/ContribOperators.md of its repository). */
  runtimeOp(type: string, inputs: readonly Name[], attributes: OnnxAttributes = {}): Name {
    const name = this.#name(type);
    this.#push(type, inputs, attributes, [name], runtimeDomain);
    return name;
  }

  constant(dtype: ElementType, shape: readonly number[], values: ArrayLike<number>): Name {
    const small = values.length <= 64;
    const key = `${dtype}[${shape}]${Array.from(small ? values : [], (value) => (Object.is(value, -0) ? '-0' : value))}`;
    const known = small ? this.#constants.get(key) : undefined;
    if (known !== undefined) return known;
    const name = this.#name('constant');
    const data =
      dtype === 'int64'
        ? BigInt64Array.from(Array.from(values, BigInt))
        : new typedArrays[dtype === 'uint8' ? 'bool' : dtype](values);
    this.#initializers.push({
      name,
      dims: [...shape],
      dataType: elementTypes[dtype],
      rawData: bytesOf(data),
    });
    if (small) this.#constants.set(key, name);
    return name;
  }

  scalar(value: number, dtype: ValueType = 'float32'): Name {
    return this.constant(dtype, [], [value]);
  }

  /** A list of sizes, axes or positions. */
  integers(values: readonly number[]): Name {
    return this.constant('int64', [values.length], values);
  }

  encode(producerVersion: string): Uint8Array {
    return encodeModel({
      irVersion,
      producerName: 'lockstep',
      producerVersion,
      opsetImport: [
        { domain: '', version: operatorSet },
        { domain: runtimeDomain, version: 1 },
      ],
      graph: {
        name: 'step',
        node: this.#nodes,
        initializer: this.#initializers,
        input: this.#inputs,
        output: this.#outputs,
      },
    });
  }

  #name(hint: string): Name {
    this.#names++;
    return `${hint}_${this.#names}`;
  }

  #push(
    opType: string,
    input: readonly Name[],
    attributes: OnnxAttributes,
    output: readonly Name[],
    domain: string,
  ) {
    const attribute = Object.entries(attributes).map(([name, value]) => ({ name, ...attributeOf(value) }));
    this.#nodes.push({ opType, name: output[0], input: [...input], output: [...output], domain, attribute });
  }
}

function attributeOf(value: OnnxAttribute): object {
  if (typeof value === 'number') return { type: attributeTypes.INT, i: value };
  if (typeof value === 'string') return { type: attributeTypes.STRING, s: Buffer.from(value) };
  if (Array.isArray(value)) return { type: attributeTypes.INTS, ints: [...value] };
  return { type: attributeTypes.FLOAT, f: (value as { float: number }).float };
}

function valueInfo(name: Name, dtype: ValueType, shape: readonly number[]): object {
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}
