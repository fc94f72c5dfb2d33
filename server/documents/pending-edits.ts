import type { RequestRecord } from '../storage/requests.ts';

/** How many are remembered: those of an hour without a database. */
const MOST = 1_000;

/** Whose an edit is, and what is recorded with it: for whoever has to commit it. */
export interface Attribution {
  readonly author: string | null;
  readonly record: RequestRecord | null;
}

/** An edit that people see though it is not committed. */
export interface PendingEdit extends Attribution {
  readonly update: Uint8Array;
}

/** Those edits of one document, made at whichever instance, whose requests can be tried again: they wait for it then. */
export class PendingEdits {
  readonly #edits = new Map<string, PendingEdit>();

  all(): Iterable<PendingEdit> {
    return this.#edits.values();
  }

  add(edit: PendingEdit): void {
    if (edit.record === null) return;
    this.#edits.set(idOf(edit.record), edit);
    const [oldest] = this.#edits.keys();
    if (this.#edits.size > MOST && oldest !== undefined) this.#edits.delete(oldest);
  }

  /** Whether one is that of a request. */
  has(request: Pick<RequestRecord, 'user' | 'key'>): boolean {
    return this.#edits.has(idOf(request));
  }

  /** @returns what forgets those that there are now: to be called when they are committed */
  mark(): () => void {
    const ids = [...this.#edits.keys()];
    return () => {
      for (const id of ids) this.#edits.delete(id);
    };
  }
}

function idOf({ user, key }: Pick<RequestRecord, 'user' | 'key'>): string {
  return JSON.stringify([user, key]);
}
