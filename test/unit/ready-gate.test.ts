import { describe, expect, it } from 'vitest';
import { ReadyGate } from '../../coordinator/ready-gate.js';
import { LockstepError } from '../../shared/errors.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

async function outcomeOf(wait: Promise<void>): Promise<string> {
  const pending = Promise.resolve('pending');
  return Promise.race([wait.then(() => 'open').catch((error: LockstepError) => error.message), pending]);
}

describe('the gate', () => {
  it('is open at once when enough are ready', async () => {
    const gate = new ReadyGate(new VirtualClock());
    gate.update(2, 2);
    await expect(gate.wait(2, 1_000)).resolves.toBeUndefined();
  });

  it('opens when enough have become ready, for each who waits for so many', async () => {
    const gate = new ReadyGate(new VirtualClock());
    const two = gate.wait(2, 1_000);
    const three = gate.wait(3, 1_000);
    gate.update(1, 1);
    expect(await outcomeOf(two)).toBe('pending');
    gate.update(2, 2);
    await expect(two).resolves.toBeUndefined();
    expect(await outcomeOf(three)).toBe('pending');
    gate.update(3, 3);
    await expect(three).resolves.toBeUndefined();
  });

  it('closes again when workers are lost', async () => {
    const gate = new ReadyGate(new VirtualClock());
    gate.update(2, 2);
    gate.update(0, 0);
    expect(await outcomeOf(gate.wait(1, 1_000))).toBe('pending');
  });

  it('does not wait for workers that were lost since it opened, but for all that are left', async () => {
    const gate = new ReadyGate(new VirtualClock());
    const first = gate.wait(3, 1_000);
    gate.update(2, 2);
    expect(await outcomeOf(first)).toBe('pending');
    gate.update(3, 3);
    await first;
    // One is lost; the others build another program.
    gate.update(0, 2);
    const second = gate.wait(3, 1_000);
    gate.update(1, 2);
    expect(await outcomeOf(second)).toBe('pending');
    gate.update(2, 2);
    await expect(second).resolves.toBeUndefined();
    gate.update(0, 0);
    expect(await outcomeOf(gate.wait(3, 1_000))).toBe('pending');
  });

  it('ends the wait at its deadline and says how many there are', async () => {
    const clock = new VirtualClock();
    const gate = new ReadyGate(clock);
    const wait = gate.wait(4, 90_000);
    gate.update(3, 3);
    clock.advance();
    expect(clock.nowMs()).toBe(90_000);
    await expect(wait).rejects.toMatchObject({
      code: 'NO_WORKERS',
      message: '3 of 4 workers are ready after 90 s',
    });
  });

  it('leaves no timer behind once it is open or has failed', async () => {
    const clock = new VirtualClock();
    const gate = new ReadyGate(clock);
    const open = gate.wait(1, 1_000);
    gate.update(1, 2);
    await open;
    const failing = gate.wait(2, 1_000);
    gate.fail(new LockstepError('WORKER_FAILED', 'broken', { hint: 'h' }));
    await expect(failing).rejects.toMatchObject({ code: 'WORKER_FAILED' });
    expect(clock.advance()).toBe(false);
  });
});
