import type { Socket } from 'node:net';
import type { Clock } from '../shared/clock.js';
import { assertNever } from '../shared/errors.js';
import type { Random } from '../shared/random.js';
import { decide, newStream, type StreamRule } from './stream.js';

/** Bytes that wait here; with more, the sender waits as well. */
const highWaterBytes = 1 << 20;

export interface FlowOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Called when a rule asks for the connection to be reset. */
  readonly onReset: () => void;
}

/** One direction of a proxied connection: what comes from one socket goes to the other, as the rules say. */
export class Flow {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #options: FlowOptions;
  #stream = newStream;
  readonly #onStruck = new Map<StreamRule, (position: number) => void>();
  /** Not decided on yet. */
  #inbox: Uint8Array[] = [];
  /** Decided on, not due yet. */
  #outbox: { readonly bytes: Uint8Array; readonly dueMs: number }[] = [];
  #receivedBytes = 0;
  #waitingBytes = 0;
  #isHeld = false;
  /** The source has ended, or a rule has ended the direction. */
  #isEnded = false;
  #isBlocked = false;
  #cancelTimer: (() => void) | null = null;

  constructor(source: Socket, target: Socket, options: FlowOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    source.on('data', (bytes: Uint8Array) => this.#take(bytes));
    source.once('end', () => this.#end());
    // A side that broke off is told on as an end: what it had sent is on its way.
    source.once('close', () => this.#end());
    target.on('drain', () => {
      this.#isBlocked = false;
      this.#deliver();
    });
    target.once('close', () => this.#discard());
  }

  /** Bytes that have arrived, and so the position of the next one. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes that have arrived and are not handed on. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** @param onStruck called when the rule comes into effect, with the position of the byte */
  apply(rule: StreamRule, onStruck: (position: number) => void = () => {}): void {
    this.#stream = { ...this.#stream, rules: [...this.#stream.rules, rule] };
    this.#onStruck.set(rule, onStruck);
  }

  /** Forgets a rule that has not struck. */
  revoke(rule: StreamRule): void {
    this.#stream = { ...this.#stream, rules: this.#stream.rules.filter((other) => other !== rule) };
    this.#onStruck.delete(rule);
  }

  /** Lets a direction that is held go on. */
  release(): void {
    this.#isHeld = false;
    this.#decide();
  }

  /** Holds the direction from here on. */
  hold(): void {
    this.#isHeld = true;
    this.#source.pause();
  }

  /** Drops what waits, and its timer. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#inbox = [];
    this.#outbox = [];
    this.#waitingBytes = 0;
  }

  #take(bytes: Uint8Array): void {
    this.#receivedBytes += bytes.byteLength;
    if (this.#isEnded) return;
    this.#waitingBytes += bytes.byteLength;
    this.#inbox.push(bytes);
    this.#decide();
  }

  #end(): void {
    this.#isEnded = true;
    this.#deliver();
  }

  /** Nobody is left to take anything: the rest is read, so that the end is seen, and dropped. */
  #discard(): void {
    this.close();
    this.#isHeld = false;
    this.#isEnded = true;
    this.#source.resume();
  }

  #decide(): void {
    const { clock, random, onReset } = this.#options;
    while (!this.#isHeld) {
      const chunk = this.#inbox.shift();
      if (chunk === undefined) break;
      const [stream, events] = decide(this.#stream, chunk, clock.nowMs(), random);
      this.#stream = stream;
      this.#waitingBytes -= chunk.byteLength;
      const struck: (() => void)[] = [];
      for (const event of events) {
        switch (event.type) {
          case 'send':
            this.#waitingBytes += event.bytes.byteLength;
            this.#outbox.push(event);
            break;
          case 'struck':
            struck.push(() => this.#onStruck.get(event.rule)?.(event.position));
            break;
          case 'hold':
            this.hold();
            this.#waitingBytes += event.rest.byteLength;
            this.#inbox.unshift(event.rest);
            break;
          case 'end':
            this.#inbox = [];
            this.#isEnded = true;
            break;
          case 'reset':
            struck.push(onReset);
            break;
          default:
            assertNever(event);
        }
      }
      // Whoever is told may cut the connection, or release what was just held.
      this.#deliver();
      for (const tell of struck) tell();
    }
    this.#deliver();
  }

  /** Hands on what is due. The end comes after everything else, and not while the direction is held. */
  #deliver(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const { clock } = this.#options;
    while (!this.#isBlocked) {
      const [next] = this.#outbox;
      if (next === undefined || next.dueMs > clock.nowMs()) break;
      this.#outbox.shift();
      this.#waitingBytes -= next.bytes.byteLength;
      if (!this.#target.destroyed) this.#isBlocked = !this.#target.write(next.bytes);
    }
    const [next] = this.#outbox;
    if (next !== undefined && !this.#isBlocked) {
      this.#cancelTimer = clock.after(Math.max(0, next.dueMs - clock.nowMs()), () => this.#deliver());
    }
    if (next === undefined && this.#isEnded && !this.#isHeld && !this.#target.writableEnded)
      this.#target.end();
    const isFull = this.#waitingBytes > highWaterBytes || this.#isBlocked || this.#isHeld;
    if (isFull) this.#source.pause();
    else this.#source.resume();
  }
}
