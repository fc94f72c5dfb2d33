/** Bytes that are begun to be sent in one turn of the event loop; what is larger has a turn of its own. */
const TURN_BYTES = 1024 * 1024;
/** When nothing that waits is ready it is looked at again after this time, though nobody has said that something is. */
const LOOK_MS = 10;

interface Work {
  isReady(): boolean;
  /** Sends something. @returns how many bytes */
  send(): number;
}

/**
 * Spreads the sending of large answers over turns of the event loop, which are others' for half of the time. The kernel takes
 * megabytes of each at once, and more while the other side reads: a room of 400 that asks for 5 MB was written to for 5 s in one
 * turn, in which nobody was acked. (An ack needs several turns: one to read the edit, and some to hear from Postgres.)
 */
export class Turns {
  readonly #waiting: Work[] = [];
  #left = TURN_BYTES;
  #isBegun = false;
  #timer: NodeJS.Timeout | undefined;
  /** Whether nothing of what waits was ready. */
  #isIdle = false;

  /** Does some work when it is ready: in this turn if that has room, else in its order in one to come. */
  take(work: Work): void {
    if (this.#isBegun && this.#left > 0 && work.isReady()) {
      this.#left -= work.send();
      return;
    }
    this.#waiting.push(work);
    if (!this.#isBegun) this.#begin();
  }

  /** Something of what waits may be ready now. */
  wake(): void {
    if (!this.#isIdle) return;
    clearTimeout(this.#timer);
    this.#end();
  }

  #begin(): void {
    this.#isBegun = true;
    this.#left = TURN_BYTES;
    const since = performance.now();
    try {
      this.#work();
    } finally {
      this.#isIdle = this.#left === TURN_BYTES && this.#waiting.length > 0;
      this.#timer = setTimeout(() => this.#end(), this.#isIdle ? LOOK_MS : performance.now() - since);
    }
  }

  #end(): void {
    [this.#isBegun, this.#isIdle] = [false, false];
    if (this.#waiting.length > 0) this.#begin();
  }

  #work(): void {
    while (this.#left > 0) {
      const next = this.#waiting.findIndex((work) => work.isReady());
      const [work] = next === -1 ? [] : this.#waiting.splice(next, 1);
      if (work === undefined) return;
      this.#left -= work.send();
    }
  }
}
