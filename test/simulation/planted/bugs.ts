/** A bug as it could be in the product: in one file, one text in place of another. */
export interface PlantedBug {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The seed at which the search begins, where it takes a rare coincidence to find the bug. Default: 0. */
  readonly firstSeed?: number;
  /** Whether the product itself finds it at once, by what must be true unless it is wrong. Default: no. */
  readonly isLoud?: true;
}

/**
 * Each must be found; what finds it must be a promise that is broken, not a crash that happens on the way, but for
 * those that would go on for ever.
 */
export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'a shard is summed twice',
    file: 'coordinator/reduce/partial-tree.ts',
    find: 'sum = addPartials(sum, right.partial);',
    replace: 'sum = addPartials(addPartials(sum, right.partial), right.partial);',
  },
  {
    name: 'a stale partial is accepted',
    file: 'coordinator/core/answer.ts',
    find: "if (state.phase !== 'working' || state.round.spec.id !== roundId) return null;",
    replace: "if (state.phase !== 'working') return null;",
    firstSeed: 59,
  },
  {
    name: 'an absent shard is added as zeros',
    file: 'coordinator/reduce/partial-tree.ts',
    find: '// The right half is absent: the sum stands for the whole parent, nothing is added.',
    replace: 'for (let i = 0; i < sum.gradient.length; i++) sum.gradient[i] += 0;',
  },
  {
    name: 'the checkpoint forgets the state of the callbacks',
    file: 'coordinator/loop/run-snapshot.ts',
    find: 'manifestHash: manifestHash(state.manifest),\n      callbacks: callbacks.values,',
    replace: 'manifestHash: manifestHash(state.manifest),\n      callbacks: {},',
  },
  {
    name: 'a checkpoint is taken between two commits',
    file: 'coordinator/loop/model-state.ts',
    find: 'return { flat: this.#committed.slice(), slots };',
    replace: 'return { flat: this.#next.slice(), slots };',
  },
  {
    name: 'of two answers that differ the later one wins',
    file: 'coordinator/core/answer.ts',
    find: 'const agreed = agreedDigest(unit);',
    replace: 'const agreed = unit.answers.length > 1 ? answer.digest : agreedDigest(unit);',
    firstSeed: 10,
  },
  {
    name: 'the cursor is off by one row after a resume',
    file: 'coordinator/data/array-source.ts',
    find: 'data.rows <= end) return data.rows;',
    replace: 'data.rows <= end) return Math.max(0, data.rows - 1);',
  },
  {
    name: 'a worker that came back keeps its old weights',
    file: 'worker/compute/shard-computer.ts',
    find: 'return this.#program.setWeights(message.flat);',
    replace: 'return this.#resets > 0 ? undefined : this.#program.setWeights(message.flat);',
  },
  {
    name: 'the optimizer slots are not restored',
    file: 'coordinator/loop/model-state.ts',
    find: 'this.optimizer.loadSlots(saved.slots);',
    replace: '',
  },
  {
    name: 'the rate that a callback set is not restored',
    file: 'coordinator/loop/model-state.ts',
    find: 'this.#learningRate = saved.learningRate;',
    replace: '',
    firstSeed: 6,
  },
  {
    name: "the open epoch's sums are not restored",
    file: 'coordinator/loop/run-snapshot.ts',
    find: 'if (run.batch > 0) totals.loadState(totalsIn(tensors));',
    replace: '',
  },
  {
    name: 'the loss of a worker takes back what it has answered',
    file: 'coordinator/core/round.ts',
    find: 'if (!isHeldBy(unit, worker)) return unit;',
    replace:
      'if (unit.accepted !== worker && !isHeldBy(unit, worker)) return unit; if (unit.accepted === worker) return { ...unit, answers: [], accepted: null, holders: [] };',
    firstSeed: 12,
  },
  {
    name: 'a result that is not finite is committed',
    file: 'coordinator/loop/model-state.ts',
    find: 'if (bad !== null || layer !== null) {',
    replace: 'if (false) {',
    firstSeed: 22,
  },
  {
    name: 'a result that is not finite is not confirmed',
    file: 'coordinator/claim.ts',
    find: "const finite = kind !== 'train' || partial === null || isFinitePartial(partial, lossSumsOf(outputs));",
    replace: 'const finite = true;',
    firstSeed: 20,
  },
  {
    name: 'messages of an earlier coordinator are taken',
    file: 'shared/protocol/session.ts',
    find: "if (theirs.term !== ours.term) return 'stale_term';",
    replace: '',
    firstSeed: 68,
  },
  {
    name: 'a damaged checkpoint is read',
    file: 'coordinator/checkpoint/snapshot.ts',
    find: 'if (sha256(bytes) !== expected.sha256) throw',
    replace: 'if (false) throw',
    firstSeed: 62,
  },
  {
    name: 'moments are merged the wrong way round',
    file: 'coordinator/reduce/partial-tree.ts',
    find: 'sum = addPartials(left.partial, sum);',
    replace: 'sum = addPartials(sum, left.partial);',
    firstSeed: 19,
  },
  {
    name: 'a silent worker is never lost',
    file: 'coordinator/core/watch.ts',
    find: 'if (silentMs >= limits.silenceMs)',
    replace: 'if (false)',
    firstSeed: 63,
  },
  {
    name: 'a worker that still owes an answer is given more, and another one is idle',
    file: 'coordinator/core/run.ts',
    find: 'debts: [...membership.debts, ...debts] };',
    replace: 'debts: membership.debts };',
  },
  {
    name: 'one worker is given all shards',
    file: 'coordinator/core/split.ts',
    find: 'const count = workers.length;',
    replace: 'const count = 1;',
  },
  {
    name: 'a run without workers never ends',
    file: 'coordinator/core/run.ts',
    find: 'if (waitedMs < limits.withoutWorkersMs) return [current, effects];',
    replace: 'if (waitedMs >= 0) return [current, effects];',
    firstSeed: 6,
  },
  {
    name: 'heartbeats are not noted',
    file: 'coordinator/core/run.ts',
    find: 'withMember(state, { ...member, lastHeardMs: nowMs }, nowMs)',
    replace: 'withMember(state, member, nowMs)',
  },
  {
    name: 'the time for which a coordinator was held up counts against workers',
    file: 'coordinator/core/watch.ts',
    find: 'if (heldUpMs <= limits.heldUpMs)',
    replace: 'if (heldUpMs >= 0)',
    firstSeed: 17,
  },
  {
    name: 'a worker says nothing while it computes',
    file: 'worker/actor.ts',
    find: "this.#session.send({ type: 'heartbeat', state });",
    replace: "if (computing === null) this.#session.send({ type: 'heartbeat', state });",
  },
  {
    name: 'a worker gives up when its line breaks',
    file: 'worker/life.ts',
    find: "if (decision.next !== 'retry')",
    replace: "if (session !== null || decision.next !== 'retry')",
  },
  {
    name: 'messages of an earlier connection are taken',
    file: 'shared/protocol/session.ts',
    find: "return theirs.incarnation === ours.incarnation ? null : 'stale_incarnation';",
    replace: 'return null;',
    firstSeed: 13,
  },
  {
    name: 'a coordinator that is told to stop does not save',
    file: 'coordinator/loop/trainer.ts',
    find: 'if (this.#isInterrupted()) {\n      this.#save();',
    replace: 'if (this.#isInterrupted()) {',
    firstSeed: 4,
  },
  {
    name: 'a checkpoint is renamed before its directory is synced',
    file: 'coordinator/checkpoint/store.ts',
    find: 'await this.#disk.sync(temporary);',
    replace: '',
  },
  {
    name: 'a coordinator writes on into a folder that was taken over',
    file: 'coordinator/checkpoint/store.ts',
    find: 'await this.#owner.verify();\n      await this.#disk.rename(temporary, path);',
    replace: 'await this.#disk.rename(temporary, path);',
    firstSeed: 65,
  },
  {
    name: 'the oldest checkpoint is taken for the newest',
    file: 'coordinator/checkpoint/store.ts',
    find: 'sequenceOf(b) - sequenceOf(a)',
    replace: 'sequenceOf(a) - sequenceOf(b)',
  },
  {
    name: 'the chain of the receipts begins anew with a resume',
    file: 'coordinator/receipts/receipts.ts',
    find: 'this.#chain = resumed.chain;',
    replace: "this.#chain = '';",
  },
  {
    name: 'a worker becomes the second holder of its own shard',
    file: 'coordinator/core/deal.ts',
    find: '!isHeldBy(unit, one) &&',
    replace: '',
    isLoud: true,
  },
  {
    name: 'one worker that cannot compute ends the run',
    file: 'coordinator/core/failure.ts',
    find: 'if (!mayTry && (failures.length > 1 || !othersMayCome))',
    replace: 'if (true)',
  },
  {
    name: 'what an excluded worker has computed stays in the sum',
    file: 'coordinator/core/answer.ts',
    find: '({ accepted }) => accepted !== null && workers.includes(accepted),',
    replace: '() => false,',
    firstSeed: 13,
  },
  {
    name: 'a worker confirms its own answer',
    file: 'coordinator/core/deal.ts',
    find: '!hasAnswered(unit, one) &&',
    replace: '',
  },
  {
    name: 'a worker may prepare for ever',
    file: 'coordinator/core/watch.ts',
    find: 'return preparingMs < limits.prepareMs',
    replace: 'return preparingMs >= 0',
    firstSeed: 42,
  },
  {
    name: 'a worker is told to drop what it still owes',
    file: 'coordinator/server/remote-worker.ts',
    find: 'if (id > this.#orderedRound) this',
    replace: 'if (id >= this.#orderedRound) this',
  },
  {
    name: 'a late answer is read as one for the present round',
    file: 'coordinator/conductor.ts',
    find: 'const active = current?.request.spec.id === roundId ? current : null;',
    replace: 'const active = current;',
    firstSeed: 400,
  },
  {
    name: 'a shard at which two workers failed is tried again',
    file: 'coordinator/core/failure.ts',
    find: 'if (same.length > 1) return stop(causeOf(spec, same));',
    replace: '',
    firstSeed: 19,
  },
  {
    name: 'deadlines never learn from what answers took',
    file: 'coordinator/core/durations.ts',
    find: 'const minSamples = 5;',
    replace: 'const minSamples = 500;',
    firstSeed: 20,
  },
  {
    name: 'of two that agree and one that does not the two are sent away',
    file: 'coordinator/core/answer.ts',
    find: 'exclude(accepted, wrong, { unit: address, by: right })',
    replace: 'exclude(accepted, right, { unit: address, by: wrong })',
    firstSeed: 10,
  },
  {
    name: 'a worker that computed wrong numbers stays',
    file: 'coordinator/core/answer.ts',
    find: 'if (wrong.length === 0) return [accepted, effects];',
    replace: 'if (wrong.length >= 0) return [accepted, effects];',
  },
];
