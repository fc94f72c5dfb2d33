import type { Purpose } from './cluster.ts';

interface Question {
  readonly purpose: Purpose;
  readonly answered: Set<string>;
  /** Somebody has heard it, and has nothing to say. */
  isPassed: boolean;
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
    this.#open.set(this.#last, { purpose, answered: new Set(), isPassed: false, expected: Infinity, done });
    return this.#last;
  }

  /** An instance has answered. */
  answered(id: number, instance: string): void {
    const question = this.#open.get(id);
    question?.answered.add(instance);
    if (question) settle(question);
  }

  /** An instance has nothing to say. @returns why it was asked; `undefined` when nobody waits for it any more */
  passed(id: number, instance: string): Purpose | undefined {
    const question = this.#open.get(id);
    if (question) question.isPassed = true;
    this.answered(id, instance);
    return question?.purpose;
  }

  /** So many instances have heard the question. Resolves when as many have answered, with whether each of them had something to say. */
  async allHave(id: number, expected: number): Promise<boolean> {
    const question = this.#open.get(id);
    if (question === undefined) return false;
    question.expected = expected;
    settle(question);
    await question.done.promise;
    return !question.isPassed;
  }

  /** Nobody waits for its answers any more. */
  close(id: number): void {
    this.#open.delete(id);
  }
}

function settle({ answered, expected, done }: Question): void {
  if (answered.size >= expected) done.resolve();
}
