/**
 * Which history the database writes. A standby that is promoted begins another one, which Postgres calls a timeline: it may lack
 * the end of the one before, and gives the ids of what it lacks to others, so what was read in one history means nothing in
 * another. The connection that was made last says which is the present one; the server of an earlier one may still be alive, and
 * answer.
 */
export class History {
  #timeline: string | null | undefined;
  #onReplaced: () => void = () => {};

  /** Calls the listener, which must not throw, each time that another history has taken the place of the one before. */
  onReplaced(listener: () => void): void {
    this.#onReplaced = listener;
  }

  /** A connection has been made. */
  follow(timeline: string | null): void {
    const isAnother = this.#timeline !== undefined && timeline !== this.#timeline;
    this.#timeline = timeline;
    if (isAnother) this.#onReplaced();
  }

  /** Whether the database writes this timeline, as far as is known. */
  isPresent(timeline: string | null): boolean {
    return timeline === this.#timeline;
  }
}
