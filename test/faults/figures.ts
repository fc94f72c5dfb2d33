/** What a test has measured, for the report of the long run. */
interface Figure {
  what: string;
  value: string;
}

declare module 'vitest' {
  interface TaskMeta {
    figures?: Figure[];
  }
}

/** The median and the largest of some milliseconds, in words. */
export function inMilliseconds(values: readonly number[]): string {
  const sorted = values.toSorted((one, other) => one - other).map(Math.round);
  return `p50 ${sorted[Math.floor(sorted.length / 2)]}, max ${sorted.at(-1)} of ${sorted.length}`;
}
