import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../shared/errors.js';
import { Mailbox } from '../../shared/mailbox.js';

describe('a mailbox', () => {
  it('hands over messages in order', () => {
    const handled: number[] = [];
    const mailbox = new Mailbox<number>({
      name: 'test',
      capacity: 5,
      handle: (message) => handled.push(message),
    });
    for (const message of [3, 1, 2]) mailbox.post(message);
    expect(handled).toEqual([3, 1, 2]);
  });

  it('finishes one message before the next: what a handler posts waits its turn', () => {
    const log: string[] = [];
    const mailbox: Mailbox<number> = new Mailbox({
      name: 'test',
      capacity: 5,
      handle(message) {
        log.push(`begin ${message}`);
        if (message < 3) {
          mailbox.post(message + 1);
          mailbox.post(message + 10);
        }
        log.push(`end ${message}`);
      },
    });
    mailbox.post(1);
    expect(log).toEqual([1, 2, 11, 3, 12].flatMap((message) => [`begin ${message}`, `end ${message}`]));
  });

  it('refuses to grow beyond its capacity, by name', () => {
    const mailbox: Mailbox<number> = new Mailbox({
      name: 'conductor',
      capacity: 3,
      handle(message) {
        if (message === 0) for (let i = 1; i <= 4; i++) mailbox.post(i);
      },
    });
    expect(() => mailbox.post(0)).toThrow(InvariantError);
    const full = new Mailbox({ name: 'conductor', capacity: 0, handle: () => {} });
    expect(() => full.post(1)).toThrow('mailbox of conductor is full (0 messages)');
  });

  it('works on after a handler threw', () => {
    const handled: number[] = [];
    const mailbox = new Mailbox<number>({
      name: 'test',
      capacity: 3,
      handle(message) {
        if (message === 1) throw new RangeError('one');
        handled.push(message);
      },
    });
    expect(() => mailbox.post(1)).toThrow('one');
    mailbox.post(2);
    expect(handled).toEqual([2]);
  });
});
