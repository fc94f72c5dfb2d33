import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Expiry } from '../../server/documents/expiry.ts';

const DAY_MS = 24 * 60 * 60_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('[K4] an end further away than a timer reaches is not at once, and comes at its time', () => {
  const onExpired = vi.fn<() => void>();
  new Expiry(onExpired).set(Date.now() + 100 * DAY_MS);
  vi.advanceTimersByTime(100 * DAY_MS - 1);
  expect(onExpired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(onExpired).toHaveBeenCalledOnce();
});

test.each([
  ['moved', (expiry: Expiry) => expiry.set(Date.now() + 2 * DAY_MS), 1],
  ['taken back', (expiry: Expiry) => expiry.set(undefined), 0],
  ['cleared', (expiry: Expiry) => expiry.clear(), 0],
])('[K4] an end that is %s does not come at its old time', (_how, change, calls) => {
  const onExpired = vi.fn<() => void>();
  const expiry = new Expiry(onExpired);
  expiry.set(Date.now() + DAY_MS);
  change(expiry);
  vi.advanceTimersByTime(DAY_MS);
  expect(onExpired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100 * DAY_MS);
  expect(onExpired).toHaveBeenCalledTimes(calls);
});
