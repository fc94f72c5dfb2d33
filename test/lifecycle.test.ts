import { describe, expect, test } from 'vitest';
import { stagger, withDeadline } from '../server/lifecycle.ts';

const never = () => new Promise<never>(() => {});

function startStagger(count: number, ms: number) {
  const items = Array.from({ length: count }, (_, index) => index);
  const seen: number[] = [];
  const times: number[] = [];
  const start = performance.now();
  const done = stagger(items, ms, (item) => {
    seen.push(item);
    times.push(performance.now() - start);
  });
  return { items, seen, times, done };
}

describe('stagger', () => {
  test('[R1] spreads few items evenly over the time', async () => {
    const { items, seen, times, done } = startStagger(4, 200);
    expect(seen, 'in the first turn').toEqual([0]);
    await done;
    expect(seen).toEqual(items);
    for (const [index, time] of times.entries()) expect(time).toBeGreaterThan(index * 50 - 5);
  });

  test('[R1] spreads many items in steps, none of which has more than its share', async () => {
    const { items, seen, times, done } = startStagger(1_000, 200);
    expect(seen, 'in the first turn').toHaveLength(250);
    await done;
    expect(seen).toEqual(items);
    for (const step of [1, 2, 3]) expect(times[step * 250]).toBeGreaterThan(step * 50 - 5);
  });

  test('[R1] takes all items at once when there is no time', async () => {
    const { items, seen, done } = startStagger(100, 0);
    expect(seen).toEqual(items);
    await done;
    expect(seen).toEqual(items);
  });

  test('[R1] takes no time when there are no items', async () => {
    expect(await withDeadline(startStagger(0, 60_000).done, 1_000)).toBe('done');
  });
});

describe('withDeadline', () => {
  test.each([
    ['work that is done', () => Promise.resolve('any value'), 1_000, undefined, 'done'],
    ['work that is not done in time', never, 5, undefined, 'late'],
    ['work that fails', () => Promise.reject(new Error('failed')), 1_000, undefined, 'late'],
    ['a signal that was given before', never, 60_000, () => AbortSignal.abort(), 'late'],
    ['a signal that is given meanwhile', never, 60_000, () => AbortSignal.timeout(5), 'late'],
  ] as const)('[R2] %s', async (_case, work, ms, signal, outcome) => {
    expect(await withDeadline(work(), ms, signal?.())).toBe(outcome);
  });

  test('[R2] work that fails after its deadline is not an unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listener);
    const { promise, reject } = Promise.withResolvers<void>();
    expect(await withDeadline(promise, 1)).toBe('late');
    reject(new Error('too late'));
    // Rejections are reported between two turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listener);
    expect(unhandled).toEqual([]);
  });
});
