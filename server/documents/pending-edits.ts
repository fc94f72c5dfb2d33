import type { RequestRecord } from '../storage/requests.ts';
import type { Durable } from './acks.ts';

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
  /** When it is committed. */
  readonly due: Durable;
}

/** Those edits of one document, made at whichever instance, whose requests can be tried again: they wait for it then. */
export class PendingEdits {
  readonly #edits = new Map<string, PendingEdit>();

  add(edit: PendingEdit): void {
    if (edit.record === null) return;
    this.#edits.set(idOf(edit.record), edit);
    const [oldest] = this.#edits.keys();
    if (this.#edits.size > MOST && oldest !== undefined) this.#edits.delete(oldest);
  }

  /**
   * Whether one is that of a request.
   * @param durable - what is committed
   */
  has(request: Pick<RequestRecord, 'user' | 'key'>, durable: Durable): boolean {
    this.#forget(durable);
    return this.#edits.has(idOf(request));
  }

  all(durable: Durable): PendingEdit[] {
    this.#forget(durable);
    return [...this.#edits.values()];
  }

  #forget(durable: Durable): void {
    for (const [id, { due }] of this.#edits)
      if (due.sequence <= durable.sequence && due.relayed <= durable.relayed) this.#edits.delete(id);
  }
}

function idOf({ user, key }: Pick<RequestRecord, 'user' | 'key'>): string {
  return JSON.stringify([user, key]);
}
