/** Counts the turns of the event loop in which something is sent: one callback for all sockets that send in one. */
class Outgoing {
  #turn = 0;
  #isBegun = false;
  #ends: Array<() => void> = [];

  /** The number of this turn. */
  turn(): number {
    if (!this.#isBegun) {
      this.#isBegun = true;
      process.nextTick(this.#end);
    }
    return this.#turn;
  }

  /** Calls `work` when this turn ends. */
  atItsEnd(work: () => void): void {
    this.#ends.push(work);
  }

  readonly #end = (): void => {
    const ends = this.#ends;
    this.#ends = [];
    this.#turn += 1;
    this.#isBegun = false;
    for (const end of ends) end();
  };
}

/** Of this process. */
export const outgoing = new Outgoing();
