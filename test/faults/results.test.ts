import { expect, test } from 'vitest';
import { type Outcome, keysOf, merged } from './results.ts';

function outcome(name: string, run: string, error: string | null = null): Outcome {
  return { file: 'faults/some.test.ts', name, run, error, counts: {}, figures: [] };
}

test('[T41] what a part of the long run finds takes the place of what the same tests have found before, whatever their seed', () => {
  const before = [
    outcome('[F1] 100 kills (the first one ack.after, SEED=1)', 'one'),
    outcome('[F1] 100 kills (the first one fold.read, SEED=2)', 'one', 'lost'),
    outcome('[F2] another (SEED=1)', 'one', 'slow'),
    outcome('[F3] that is no more (SEED=1)', 'one'),
  ];
  const names = [
    '[F1] 100 kills (the first one fold.read, SEED=8)',
    '[F1] 100 kills (the first one ack.after, SEED=9)',
    '[F2] another (SEED=8)',
    '[F4] new',
  ];
  const now = names.map((name) => outcome(name, 'two'));
  const keys = keysOf(names);
  expect(new Set(keys).size).toBe(names.length);
  const whole = merged(
    keys.map((key, index) => [key, now[index] ?? null] as const),
    before,
  );
  expect(whole).toEqual(now);
  // Only one of them ran.
  const part = merged(
    keys.map((key, index) => [key, index === 2 ? (now[2] ?? null) : null] as const),
    before,
  );
  expect(part).toEqual([before[0], before[1], now[2]]);
  // Another file did.
  expect(merged(undefined, before)).toEqual(before);
});
