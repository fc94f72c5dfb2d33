/** Something measured, for test/faults/RESULTS.md. */
export interface Figure {
  what: string;
  value: string;
}

/** What the tests of this server count together; RESULTS.md begins with the sums. */
export const COUNTS = [
  'kills by SIGKILL',
  'edits sent',
  'edits acknowledged',
  'acknowledged edits that were lost',
  'hostile updates and frames',
  'crashes by them',
] as const;

declare module 'vitest' {
  interface TaskMeta {
    figures?: Figure[];
    counts?: Partial<Record<(typeof COUNTS)[number], number>>;
  }
}

/** Milliseconds as a reader wants them: `p50 1.2, p95 3, p99 8, max 20`. */
export function percentiles(milliseconds: readonly number[]): string {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number) =>
    short(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, max ${at(1)} ms`;
}

/** How many of the numbers are in each step of so much: `100–149: 12, 150–199: 3`. */
export function histogram(numbers: readonly number[], step: number): string {
  const counts = new Map<number, number>();
  for (const number of numbers) {
    const bucket = Math.floor(number / step) * step;
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  return [...counts]
    .toSorted(([one], [other]) => one - other)
    .map(([bucket, count]) => `${bucket}–${bucket + step - 1}: ${count}`)
    .join(', ');
}

function short(number: number): string {
  return number < 10 ? number.toFixed(1) : number.toFixed(0);
}
