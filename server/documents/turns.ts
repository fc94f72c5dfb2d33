/** Bytes that are begun to be sent in one turn of the event loop; what is larger has a turn of its own. */
const TURN_BYTES = 1024 * 1024;

/**
 * Spreads the sending of large answers over turns of the event loop, which are others' for half of the time. The kernel takes
 * megabytes of each at once, and more while the other side reads: a room of 400 that asks for 5 MB was written to for 5 s in one
 * turn, in which nobody was acked. (An ack needs several turns: one to read the edit, and some to hear from Postgres.)
 */
export class Turns {
  readonly #waiting: Array<() => number> = [];
  #left = TURN_BYTES;
  #isBegun = false;

  /**
   * Does some work, in this turn if nothing waits, else in its order in one to come.
   * @param work - sends something, and tells how many bytes
   */
  take(work: () => number): void {
    this.#waiting.push(work);
    if (this.#isBegun) this.#work();
    else this.#begin();
  }

  #begin(): void {
    this.#isBegun = true;
    this.#left = TURN_BYTES;
    const since = performance.now();
    try {
      this.#work();
    } finally {
      setTimeout(() => this.#end(), performance.now() - since);
    }
  }

  #end(): void {
    this.#isBegun = false;
    if (this.#waiting.length > 0) this.#begin();
  }

  #work(): void {
    while (this.#left > 0) {
      const work = this.#waiting.shift();
      if (work === undefined) return;
      this.#left -= work();
    }
  }
}
