/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to below the given one. */
export type Pick = (below: number) => number;

export function pickOf(random: () => number): Pick {
  return (below) => Math.floor(random() * below);
}

/** The same items in another order (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], pick: Pick): T[] {
  const shuffling = [...items];
  for (let last = shuffling.length - 1; last > 0; last -= 1) {
    const other = pick(last + 1);
    [shuffling[last], shuffling[other]] = [shuffling[other] as T, shuffling[last] as T];
  }
  return shuffling;
}
