/** Those who want to know that something has changed. */
export class Listeners {
  readonly #listeners = new Set<() => void>();

  /** @returns a function that ends it */
  readonly add = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly call = (): void => {
    for (const listener of this.#listeners) listener();
  };
}
