import type { Purpose } from './cluster.ts';

interface Question {
  readonly purpose: Purpose;
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
  ask(purpose: Purpose): number {
    this.#last += 1;
    const done = Promise.withResolvers<void>();
    this.#open.set(this.#last, { purpose, answered: new Set(), expected: Infinity, done });
    return this.#last;
  }

  /** An instance has answered. @returns why it was asked; `undefined` when nobody waits for it any more */
  answered(id: number, instance: string): Purpose | undefined {
    const question = this.#open.get(id);
    question?.answered.add(instance);
    if (question) settle(question);
    return question?.purpose;
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
