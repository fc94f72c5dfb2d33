/** Others are told at most this often what is committed, beside what edits say of it; they write it themselves after 500 ms. */
const COMMITTED_MS = 200;
/** And this often where they have edited, too: their acks wait for that. */
const WAITED_FOR_MS = 50;

/** How far the log of this instance is committed, and when others are told. */
export class Watermark {
  readonly #tellOthers: () => void;
  #committed = 0;
  #toldAt = -Infinity;
  #told = 0;
  /** The highest number that others know of. */
  #relayed = 0;
  /** And that they wait for. */
  #waitedFor = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param tellOthers - sends {@link committed}; must not throw */
  constructor(tellOthers: () => void) {
    this.#tellOthers = tellOthers;
  }

  /** Everything with a number up to this one is committed. */
  get committed(): number {
    return this.#committed;
  }

  /** More is committed. */
  rise(sequence: number): void {
    this.#committed = sequence;
    if (this.#timer === undefined) this.#tellLater();
  }

  /** Others are sent an update with this number, or what holds it. */
  relayed(sequence: number): void {
    this.#relayed = Math.max(this.#relayed, sequence);
  }

  /** Others have edited a document, and wait for what they have been sent of it. */
  waitedFor(sequence: number): void {
    if (sequence <= this.#told) return;
    this.#waitedFor = Math.max(this.#waitedFor, sequence);
    this.close();
    this.#tellLater();
  }

  /** Tells others now, whether it has risen or not. */
  tell(): void {
    this.#toldAt = performance.now();
    this.#told = this.#committed;
    this.#tellOthers();
  }

  /** Nobody is told any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tellLater(): void {
    const isNews = () => this.#told < Math.min(this.#relayed, this.#committed);
    if (!isNews()) return;
    const pause = this.#waitedFor > this.#told ? WAITED_FOR_MS : COMMITTED_MS;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (isNews()) this.tell();
      },
      Math.max(0, this.#toldAt + pause - performance.now()),
    );
  }
}
