/** The longest that a timer of the runtime takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Calls once when a time has come, however far it is; the time can be moved. */
export class Expiry {
  readonly #onExpired: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onExpired: () => void) {
    this.#onExpired = onExpired;
  }

  /** @param time - milliseconds since 1970; never when left out */
  set(time: number | undefined): void {
    clearTimeout(this.#timer);
    if (time === undefined || !Number.isFinite(time)) return;
    const left = Math.max(0, time - Date.now());
    const [wait, next] = left > MAX_TIMER_MS ? [MAX_TIMER_MS, () => this.set(time)] : [left, this.#onExpired];
    this.#timer = setTimeout(next, wait);
    this.#timer.unref();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
