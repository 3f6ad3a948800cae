import { type WorkerSession, workerSession } from '../../shared/protocol/session.js';
import { decodeShardData } from '../../shared/protocol/tensor-payload.js';
import type { ToWorker } from '../../shared/protocol/to-worker.js';
import type { MemoryPair } from '../../shared/transport/memory.js';
import { ShardComputer } from '../../worker/compute/shard-computer.js';
import { sendResult } from '../../worker/send-result.js';
import type { FromThread, ToThread } from '../../worker/thread-messages.js';
import type { SharedThread } from './shared-thread.js';

export interface InProcessWorkerOptions {
  readonly worker: number;
  readonly run: string;
  readonly pair: MemoryPair;
  readonly thread: SharedThread;
  readonly jobPath: string | null;
  /** Sees what the compute thread answers, before it is sent; it may kill the worker. */
  readonly onAnswer: (worker: InProcessWorker, answer: FromThread) => void;
}

/** A worker without a process: the real shard computer and the real protocol, on a thread that all workers share. */
export class InProcessWorker {
  readonly worker: number;
  shardsComputed = 0;
  readonly #pair: MemoryPair;
  readonly #session: WorkerSession;
  readonly #jobPath: string | null;
  readonly #computer: ShardComputer;
  readonly #post: (message: ToThread) => void;
  #isHere = true;
  /** Answers that it has not sent; null while it sends them. */
  #held: FromThread[] | null = null;
  #last: FromThread | null = null;

  constructor({ worker, run, pair, thread, jobPath, onAnswer }: InProcessWorkerOptions) {
    this.worker = worker;
    this.#pair = pair;
    this.#jobPath = jobPath;
    this.#session = workerSession(pair.ends[1], { run, term: 1, worker, incarnation: worker });
    this.#computer = new ShardComputer((answer) => {
      if (this.#isHere) onAnswer(this, answer);
      if (this.#isHere) this.#take(answer);
    });
    const inbox = thread.inbox((message) => this.#computer.handle(message));
    this.#post = (message) => {
      if (this.#isHere) inbox.post(message);
    };
    this.#session.onMessage((message, payload) => this.#receive(message, payload));
    void this.#session.closed.then(() => {
      this.#isHere = false;
      inbox.clear();
    });
  }

  get isHere(): boolean {
    return this.#isHere;
  }

  /** Ends it in the middle of whatever it does, as SIGKILL does: what it has sent but not delivered is lost. */
  kill(): void {
    this.#isHere = false;
    this.#pair.breakLine();
  }

  /** Sends nothing from now on, the present answer included, as one whose compute does not return. */
  hold(): void {
    this.#held ??= [];
  }

  /** Sends what it has held back, and goes on. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const answer of held) if (this.#isHere) this.#answer(answer);
  }

  /** Sends its last partial once more. */
  repeat(): void {
    if (this.#last !== null) this.#answer(this.#last);
  }

  /** Leaves politely. */
  leave(): void {
    this.#isHere = false;
    this.#session.send({ type: 'goodbye', reason: 'asked to leave' });
    this.#session.close('goodbye');
  }

  #receive(message: ToWorker, payload: Uint8Array): void {
    switch (message.type) {
      case 'setup':
        return this.#post({ type: 'setup', setup: message, jobPath: this.#jobPath });
      case 'weights': {
        const flat = new Float32Array(
          payload.buffer as ArrayBuffer,
          payload.byteOffset,
          payload.byteLength / 4,
        );
        return this.#post({ type: 'weights', flat });
      }
      case 'data': {
        const { round, shard, tensors } = message;
        return this.#post({ type: 'data', round, shard, data: decodeShardData(tensors, payload) });
      }
      case 'compute':
        return this.#post({ type: 'compute', compute: message });
      case 'cancel':
        return this.#post({ type: 'cancel', round: message.round });
      case 'heartbeat':
      case 'rejected':
      case 'goodbye':
        return;
    }
  }

  #take(answer: FromThread): void {
    if (answer.type === 'partial') this.#last = answer;
    if (this.#held === null) this.#answer(answer);
    else this.#held.push(answer);
  }

  #answer(answer: FromThread): void {
    switch (answer.type) {
      case 'ready': {
        const { manifestHash, fingerprint, canary, fallback } = answer;
        const about = { threads: 1, pid: process.pid, host: 'simulation' };
        return this.#session.send({ type: 'ready', manifestHash, fingerprint, canary, fallback, ...about });
      }
      case 'computing':
        this.shardsComputed += 1;
        return;
      case 'partial':
      case 'outputs':
        return sendResult(this.#session, answer);
      case 'finished':
        return;
      case 'failed':
        return this.#session.send(answer);
    }
  }
}
