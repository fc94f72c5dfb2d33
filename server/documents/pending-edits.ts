import { fromBase64, toBase64 } from 'lib0/buffer';
import { idOf, type RequestRecord } from '../storage/requests.ts';
import { isDurable, type Durable } from './acks.ts';

/** How many are remembered: those of an hour without a database. */
const MOST = 1_000;
const MOST_TOLD_BYTES = 1024 * 1024;

/** Whose an edit is, and what is recorded with it: for whoever has to commit it. */
export interface Attribution {
  readonly author: string | null;
  readonly record: RequestRecord;
}

/** An edit of a request, of whichever instance, that may not be committed. */
export interface PendingEdit extends Attribution {
  readonly update: Uint8Array;
  /** When it is committed. */
  readonly due: Durable;
}

/** A request that is being done here. */
export interface Trial {
  /** When it is committed at another instance, which was quicker. */
  elsewhere?: Durable;
}

/** Those of one document. Who tries such a request again waits for its edit. */
export class PendingEdits {
  readonly #edits = new Map<string, PendingEdit>();
  readonly #trials = new Map<string, Trial>();

  get isEmpty(): boolean {
    return this.#edits.size === 0;
  }

  all(): PendingEdit[] {
    return [...this.#edits.values()];
  }

  /** Whether one is that of a request. */
  has(request: Pick<RequestRecord, 'user' | 'key'>): boolean {
    return this.#edits.has(idOf(request));
  }

  /** A request is being done here. @returns what another instance may tell of it until {@link tried} */
  trying(request: Pick<RequestRecord, 'user' | 'key'>): Trial {
    const trial: Trial = {};
    this.#trials.set(idOf(request), trial);
    return trial;
  }

  tried(request: Pick<RequestRecord, 'user' | 'key'>): void {
    this.#trials.delete(idOf(request));
  }

  add(edit: PendingEdit): void {
    const trial = this.#trials.get(idOf(edit.record));
    if (trial !== undefined) trial.elsewhere = edit.due;
    this.#edits.set(idOf(edit.record), edit);
    const [oldest] = this.#edits.keys();
    if (this.#edits.size > MOST && oldest !== undefined) this.#edits.delete(oldest);
  }

  /** Forgets those that are committed. */
  committed(durable: Durable): void {
    for (const [id, { due }] of this.#edits) if (isDurable(due, durable)) this.#edits.delete(id);
  }
}

/** As instances tell each other of them, up to so many bytes; blank when there are none. */
export function encodePending(edits: readonly PendingEdit[]): string {
  const told: object[] = [];
  let bytes = 0;
  for (const { update, author, record } of edits) {
    bytes += update.byteLength;
    if (bytes > MOST_TOLD_BYTES) break;
    told.push({ update: toBase64(update), author, record });
  }
  return told.length === 0 ? '' : JSON.stringify(told);
}

/** @throws when it is none of what {@link encodePending} gives */
export function decodePending(text: string): (Attribution & { readonly update: Uint8Array })[] {
  if (text === '') return [];
  const told = JSON.parse(text) as (Attribution & { readonly update: string })[];
  return told.map(({ update, author, record }) => ({ update: fromBase64(update), author, record }));
}
