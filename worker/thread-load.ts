import { assertNever } from '../shared/errors.js';
import type { ToThread } from './thread-messages.js';

/** What a message costs beside its tensors, and each tensor beside its elements. */
const messageBytes = 1_024;
const tensorBytes = 256;

/** What is remembered of a message: not its tensors, which belong to the thread. */
interface Waiting {
  readonly type: ToThread['type'];
  /** That it is about; null if about none. */
  readonly round: number | null;
  readonly bytes: number;
}

/**
 * What a compute thread holds, as it can be told from outside: the messages that it has not come to, and what it keeps
 * of those that it has, which are the last weights and the data of rounds that are not over (compute/shard-store.ts).
 * A thread that does not end what it computes keeps all that it is sent.
 */
export class ThreadLoad {
  /** In the order they were posted, from `#first` on. */
  #waiting: Waiting[] = [];
  #first = 0;
  /** Messages that the thread has handled, as far as was counted. */
  #handled = 0;
  #weightsBytes = 0;
  readonly #dataBytes = new Map<number, number>();
  #bytes = 0;

  /** Messages that wait. */
  get messages(): number {
    return this.#waiting.length - this.#first;
  }

  /** Of all that is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param bytes as `bytesOf` tells them before the message's buffers are handed over */
  posted(message: ToThread, bytes: number): void {
    this.#waiting.push({ type: message.type, round: roundOf(message), bytes });
    this.#bytes += bytes;
  }

  /** @param count messages that the thread has handled since it began */
  handled(count: number): void {
    for (; this.#handled < count && this.#first < this.#waiting.length; this.#handled++) {
      const waiting = this.#waiting[this.#first];
      this.#first += 1;
      this.#bytes -= waiting.bytes;
      this.#keep(waiting);
    }
    if (this.#first * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
  }

  #keep({ type, round, bytes }: Waiting): void {
    switch (type) {
      case 'weights':
        this.#bytes += bytes - this.#weightsBytes;
        this.#weightsBytes = bytes;
        return;
      case 'data':
        this.#bytes += bytes;
        this.#dataBytes.set(round ?? 0, (this.#dataBytes.get(round ?? 0) ?? 0) + bytes);
        return;
      case 'compute':
        return this.#drop((other) => other < (round ?? 0));
      case 'cancel':
        return this.#drop((other) => other === round);
      case 'setup':
      case 'reset':
        return this.#drop(() => true);
      default:
        return assertNever(type);
    }
  }

  #drop(isOver: (round: number) => boolean): void {
    for (const [round, bytes] of [...this.#dataBytes]) {
      if (!isOver(round)) continue;
      this.#dataBytes.delete(round);
      this.#bytes -= bytes;
    }
  }
}

function roundOf(message: ToThread): number | null {
  if (message.type === 'compute') return message.compute.round;
  return message.type === 'data' || message.type === 'cancel' ? message.round : null;
}

/** About as much memory as a message takes. */
export function bytesOf(message: ToThread): number {
  switch (message.type) {
    case 'weights':
      return messageBytes + message.flat.byteLength;
    case 'data': {
      const { x, y, sampleWeights } = message.data;
      const tensors = [...x, ...y, ...sampleWeights];
      return tensors.reduce(
        (sum, tensor) => sum + tensorBytes + (tensor?.data.byteLength ?? 0),
        messageBytes,
      );
    }
    case 'setup':
      // A model's topology may be long.
      return messageBytes + JSON.stringify(message.setup.program ?? null).length;
    case 'compute':
    case 'cancel':
    case 'reset':
      return messageBytes;
    default:
      return assertNever(message);
  }
}
