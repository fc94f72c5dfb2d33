import { recall, remember } from './stored.ts';

/**
 * Takes turns among the tabs that this browser has of one document: it is the turn of the one that was used last. When
 * that ends, however it does, it is the turn of the one before.
 *
 * Whose turn it is holds a lock. Pages that came over plain HTTP from elsewhere have none: then it is everybody's.
 */
export class Turn {
  readonly #name: string;
  readonly #id: number;
  readonly #onChange: (isMine: boolean) => void;
  #isMine = false;
  #isTaking = false;
  #waiting: AbortController | undefined;
  #release: (() => void) | undefined;
  #isOver = false;

  /** @param id - of this tab in the document */
  constructor(document: string, id: number, onChange: (isMine: boolean) => void) {
    this.#name = `turn:${document}`;
    this.#id = id;
    this.#onChange = onChange;
    if (!('locks' in navigator)) {
      onChange(true);
      return;
    }
    for (const event of ['focus', 'keydown', 'pointerdown']) window.addEventListener(event, this.#take);
    if (window.document.visibilityState === 'visible') this.#take();
    else this.#wait();
  }

  /** Whether this is the tab whose turn it is, maybe another one of this browser. */
  isOf(id: number): boolean {
    return recall(this.#name) === `${id}`;
  }

  end(): void {
    this.#isOver = true;
    for (const event of ['focus', 'keydown', 'pointerdown']) window.removeEventListener(event, this.#take);
    this.#waiting?.abort();
    this.#release?.();
  }

  readonly #take = (): void => {
    if (this.#isMine || this.#isTaking) return;
    this.#isTaking = true;
    this.#waiting?.abort();
    void this.#hold({ steal: true });
  };

  #wait(): void {
    this.#waiting = new AbortController();
    void this.#hold({ signal: this.#waiting.signal });
  }

  async #hold(options: LockOptions): Promise<void> {
    try {
      await navigator.locks.request(this.#name, options, () => this.#begin());
    } catch {
      // Another tab has taken its turn, or we do not wait any more.
      if (!this.#isMine) return;
    }
    this.#isMine = false;
    if (this.#isOver) return;
    this.#onChange(false);
    this.#wait();
  }

  #begin(): Promise<void> {
    this.#isTaking = false;
    this.#isMine = true;
    remember(this.#name, `${this.#id}`);
    this.#onChange(true);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    return promise;
  }
}
