import { expect, test } from 'vitest';
import { retryDelay } from '../../client-demo/src/backoff.ts';
import { randomOf } from '../helpers/random.ts';

const PAGES = 10_000;

test.each([0, 1, 2, 3, 10])(
  '[B17] of ten thousand pages few try again in the same second, after %i failures',
  (failures) => {
    const random = randomOf(failures);
    const perSecond = new Map<number, number>();
    for (let page = 0; page < PAGES; page += 1) {
      const second = Math.floor(retryDelay(failures, random) / 1000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    expect(Math.max(...perSecond.values())).toBeLessThan(PAGES / 4);
    expect(Math.max(...perSecond.keys())).toBeLessThan(15);
  },
);

test('[B17] the more attempts have failed the longer it may wait, up to 15 s', () => {
  const longest = [0, 1, 2, 3, 4, 100].map((failures) => retryDelay(failures, () => 1));
  expect(longest).toEqual([5_000, 10_000, 15_000, 15_000, 15_000, 15_000]);
  expect(retryDelay(0, () => 0)).toBeGreaterThan(0);
});
