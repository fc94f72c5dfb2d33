/** Counts the turns of the event loop in which something is sent: one callback for all sockets that send in one. */
class Outgoing {
  #turn = 0;
  #isBegun = false;
  #ends: Array<() => void> = [];
  #isMoreComing = false;

  /** The number of this turn. */
  turn(): number {
    if (!this.#isBegun) {
      this.#isBegun = true;
      process.nextTick(this.#end);
    }
    return this.#turn;
  }

  /** Whether what is sent now has company. */
  get isMoreComing(): boolean {
    return this.#isMoreComing;
  }

  /** Does some work that sends more than one frame to the same sockets, which is worth waiting for. */
  together(work: () => void): void {
    this.#isMoreComing = true;
    try {
      work();
    } finally {
      this.#isMoreComing = false;
    }
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
