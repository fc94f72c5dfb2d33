/**
 * Which history the database writes. A standby that is promoted begins another one, which Postgres calls a timeline: it may lack
 * the end of the one before, and gives the ids of what it lacks to others, so what was read in one history means nothing in
 * another. Connections say which they lead to, and the server of an earlier one may still be alive, and answer.
 */
export class History {
  #timeline: string | null | undefined;
  #onReplaced: () => void = () => {};

  /** Calls the listener, which must not throw, each time that another history has taken the place of the one before. */
  onReplaced(listener: () => void): void {
    this.#onReplaced = listener;
  }

  /**
   * A connection has been made.
   * @param timeline - `system/number`: of the cluster with its standbys, and, as eight hexadecimal digits, higher with each promotion; `null` where the server
   * does not say
   * @throws when it leads to the primary from before a promotion
   */
  follow(timeline: string | null): void {
    const before = this.#timeline;
    if (before === timeline) return;
    if (typeof before === 'string' && timeline !== null && isEarlier(timeline, before)) {
      throw new Error(
        `a server on timeline ${timeline} is not used any more: a standby on ${before} took its place`,
      );
    }
    this.#timeline = timeline;
    if (before !== undefined) this.#onReplaced();
  }

  /** The one that the database writes, as far as is known. */
  get timeline(): string | null {
    return this.#timeline ?? null;
  }

  /** Whether the database writes this timeline, as far as is known. */
  isPresent(timeline: string | null): boolean {
    return timeline === this.#timeline;
  }
}

/** Not of another cluster: one after `pg_upgrade` begins with 1 again. The numbers have eight digits, so they sort as text. */
function isEarlier(one: string, other: string): boolean {
  const [system] = one.split('/');
  return other.startsWith(`${system}/`) && one < other;
}
