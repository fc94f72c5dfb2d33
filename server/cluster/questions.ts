interface Question {
  readonly answered: Set<string>;
  /** How many are to answer. */
  expected: number;
  readonly done: PromiseWithResolvers<void>;
}

/** Questions that wait for answers of other instances. */
export class Questions {
  readonly #open = new Map<number, Question>();
  #last = 0;

  /** @returns its number, for those who answer */
  ask(): number {
    this.#last += 1;
    this.#open.set(this.#last, { answered: new Set(), expected: Infinity, done: Promise.withResolvers() });
    return this.#last;
  }

  /** An instance has answered. */
  answered(id: number, instance: string): void {
    const question = this.#open.get(id);
    question?.answered.add(instance);
    if (question) settle(question);
  }

  /** So many instances have heard the question. Resolves when as many have answered. */
  async allHave(id: number, expected: number): Promise<void> {
    const question = this.#open.get(id);
    if (question === undefined) return;
    question.expected = expected;
    settle(question);
    await question.done.promise;
  }

  /** Nobody waits for its answers any more. */
  close(id: number): void {
    this.#open.delete(id);
  }
}

function settle({ answered, expected, done }: Question): void {
  if (answered.size >= expected) done.resolve();
}
