import { seedOf } from '../helpers/hostile.ts';

/** Printed with each test; `SEED=…` makes the same choices again. */
export const SEED = seedOf(Date.now() % 100_000);

/** What the short version has, which is a part of `npm test`, and the long one in its place; numbers, mostly. */
export function scaled<T = number>(short: T, long: T): T {
  return process.env['LONG'] === '1' ? long : short;
}

/**
 * How soon somebody's edit is acknowledged, from the moment that the database is there again or the line to it is new: what
 * F2, F3, F40, F44 and F51 promise; milliseconds.
 */
export const FIRST_ACK_MS = 3_000;
