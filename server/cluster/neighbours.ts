/** An instance has ended when nothing was heard of it for so long, unless it has said so before. */
const DEAD_MS = 7_000;
/** Instances that fell silent are remembered, should they be back; up to this many. */
const REMEMBERED = 1_000;

/** The other instances, as far as they can be heard. */
export class Neighbours {
  /** When each was heard last, in milliseconds of `performance.now()`. */
  readonly #heardAt = new Map<string, number>();
  readonly #silent = new Set<string>();

  get count(): number {
    return this.#heardAt.size;
  }

  has(instance: string): boolean {
    return this.#heardAt.has(instance);
  }

  /** An instance was heard. @returns whether it had been taken for ended */
  heard(instance: string): boolean {
    this.#heardAt.set(instance, performance.now());
    return this.#silent.delete(instance);
  }

  /** An instance has said that it ends. */
  delete(instance: string): void {
    this.#heardAt.delete(instance);
  }

  /** @returns those that have not been heard of for too long, and are taken for ended from now on */
  takeSilent(): string[] {
    const now = performance.now();
    const silent = [...this.#heardAt].filter(([, heardAt]) => now - heardAt >= DEAD_MS);
    return silent.map(([instance]) => {
      this.#heardAt.delete(instance);
      this.#silent.add(instance);
      if (this.#silent.size > REMEMBERED) this.#silent.delete(this.#silent.values().next().value ?? '');
      return instance;
    });
  }
}
