import { type Workload, warmUpOf } from './workload.ts';

/** Whether it is only to be seen that cases run: the figures mean nothing. */
const IS_BRIEF = process.env['BRIEF'] === '1';
const BRIEF_SECONDS = 2;

/** Of which the one in the middle counts. */
export const ROUNDS = IS_BRIEF ? 1 : Number(process.env['ROUNDS'] ?? 2);
export const CASE_MS = 60 * 60_000;

/** As it is put to servers in this run. */
export function played(workload: Workload): Workload {
  if (!IS_BRIEF) return workload;
  return {
    ...workload,
    seconds: Math.min(workload.seconds, BRIEF_SECONDS),
    warmUp: { ...warmUpOf(workload), seconds: 1 },
  };
}
