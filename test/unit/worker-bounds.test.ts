import { describe, expect, it } from 'vitest';
import { compute, ready, Scene, setup } from './worker-scene.js';

describe('a worker', () => {
  const row = (shape: number[]) => ({ dtype: 'float32' as const, shape });
  const tensor = (role: 'x' | 'y' | 'weight', shape: number[]) => ({ role, index: 0, ...row(shape) });
  const elements = (count: number) => [new Uint8Array(4 * count)];
  const data = { type: 'data', round: 1, shard: 0 } as const;

  it.each([
    ['its weights, and data of its shape', elements(2), [tensor('x', [2, 3]), tensor('y', [2, 1])], 'taken'],
    [
      'labels without an axis, and sample weights',
      elements(2),
      [tensor('x', [2, 3]), tensor('y', [2]), tensor('weight', [2])],
      'taken',
    ],
    ['data of a prediction', elements(2), [tensor('x', [2, 3])], 'taken'],
    ['the weights of a larger model', elements(4), null, 'invalid_message'],
    ['no weights', elements(0), null, 'invalid_message'],
    ['longer rows', elements(2), [tensor('x', [2, 4]), tensor('y', [2, 1])], 'invalid_message'],
    ['longer targets', elements(2), [tensor('x', [2, 3]), tensor('y', [2, 2])], 'invalid_message'],
    ['targets of other rows', elements(2), [tensor('x', [2, 3]), tensor('y', [4, 1])], 'invalid_message'],
    [
      'inputs that the model does not have',
      elements(2),
      [tensor('x', [2, 3]), { ...tensor('x', [2, 3]), index: 1 }],
      'invalid_message',
    ],
  ] as const)(
    'holds what its coordinator sends against the model it has built: %s',
    async (_, flat, tensors, end) => {
      const scene = new Scene();
      await scene.settle();
      const { coordinator } = scene.last;
      coordinator.send(setup);
      await scene.settle();
      scene.thread.answer(ready);
      await scene.settle();
      coordinator.send({ type: 'weights', version: 0 }, flat);
      if (tensors !== null) {
        const headers = tensors.map((header) => ({ ...header, shape: [...header.shape] }));
        const bytes = headers.reduce(
          (sum, { shape }) => sum + 8 * Math.ceil(shape.reduce((a, b) => a * b) / 2),
          0,
        );
        coordinator.send({ ...data, tensors: headers }, [new Uint8Array(bytes)]);
      }
      await scene.settle();
      const wasTaken = ['attach', 'setup', 'weights', 'data'];
      if (end === 'taken') expect(scene.thread.log).toEqual(wasTaken);
      else {
        expect(wasTaken.slice(0, 3)).toEqual(expect.arrayContaining(scene.thread.log.slice(0, -1)));
        expect(scene.thread.log.at(-1)).toBe('detach');
        expect((await coordinator.closed).code).toBe(end);
      }
      scene.leaving.abort();
      await scene.settle();
    },
  );

  it.each(['setup and an answer', 'an answer'])('takes no payload and no order before %s', async (before) => {
    for (const message of [{ type: 'weights', version: 0 } as const, compute]) {
      const scene = new Scene();
      await scene.settle();
      const { coordinator } = scene.last;
      if (before === 'an answer') coordinator.send(setup);
      await scene.settle();
      coordinator.send(message, message.type === 'weights' ? elements(2) : undefined);
      await scene.settle();
      expect(scene.thread.log.filter((type) => type === 'weights' || type === 'compute')).toEqual([]);
      expect((await coordinator.closed).code).toBe(
        message.type === 'weights' && before === 'an answer' ? 'oversize' : 'out_of_order',
      );
      scene.leaving.abort();
      await scene.settle();
    }
  });

  it('leaves a coordinator that sends more than its compute thread can hold, and comes back', async () => {
    const scene = new Scene();
    await scene.begin();
    const { coordinator } = scene.last;
    scene.thread.owner?.onOverload('the compute thread is behind');
    await scene.settle();
    expect((await coordinator.closed).code).toBe('oversize');
    await scene.pass(20_000);
    expect(scene.incarnations.length).toBeGreaterThan(1);
    scene.leaving.abort();
    await scene.settle();
  });
});
