/*
 * What a case has measured, as it stands in RESULTS.md.
 */

declare module 'vitest' {
  interface TaskMeta {
    /** Markdown. */
    report?: string;
    /** What else took part in it. */
    versions?: string;
  }
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = head.map((_, index) => (index === 0 ? '---' : '--:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The one in the middle; of an even number the lower one of two. */
export function median(numbers: readonly number[]): number {
  return percentile(numbers, 0.5);
}

export function percentile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** `1,414 (1,390–1,502)`: the one in the middle, the least, the most. */
export function spread(numbers: readonly number[]): string {
  if (numbers.length <= 1) return short(median(numbers));
  return `${short(median(numbers))} (${short(Math.min(...numbers))}–${short(Math.max(...numbers))})`;
}

/** Three digits or all that are before the point, two below 1; a dash when it is no number. */
export function short(number: number): string {
  if (!Number.isFinite(number)) return '–';
  if (number < 1) return number.toLocaleString('en', { maximumSignificantDigits: 2 });
  const digits = number < 10 ? 2 : number < 100 ? 1 : 0;
  return number.toLocaleString('en', { maximumFractionDigits: digits });
}
