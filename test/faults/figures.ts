/** What a fault test has measured, for the report of the long run. */
export interface Figure {
  what: string;
  value: string;
}

declare module 'vitest' {
  interface TaskMeta {
    figures?: Figure[];
  }
}
