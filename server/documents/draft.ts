import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';
import { applyUpdate } from '../storage/stored-document.ts';
import { copyOf } from './content.ts';
import type { OpenDocument } from './open-document.ts';

/** Unused for so long, the copy is let go: it takes as much memory as its document. */
const IDLE_MS = 10_000;
/** Changes of one document that may wait for the one that is being committed. */
const MOST_WAITING = 1_000;

/**
 * A copy of an open document that follows it, and in which the changes of programs are made first. One that throws half-way, or is
 * refused, has touched nothing; and one that is recorded with its request is seen by nobody before it is committed, so that no
 * instance that dies leaves it to people who bring it to another one, where it is tried again.
 */
export class Draft {
  readonly #open: OpenDocument;
  #copy: Y.Doc | undefined;
  #idle: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(open: OpenDocument) {
    this.#open = open;
  }

  /**
   * One after the other: what is built on a change that is then not committed would wait for it for ever.
   * @throws {@link IndelibleError} `document_busy`
   */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MOST_WAITING) throw new IndelibleError('document_busy');
    this.#waiting += 1;
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** The copy, with all that the document holds. */
  get doc(): Y.Doc {
    this.#copy ??= this.#begin();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.discard(), IDLE_MS).unref();
    return this.#copy;
  }

  /**
   * Makes a change in one transaction.
   * @param work - may be called again, with another copy
   * @returns the update; `null` when nothing has changed
   * @throws what `work` throws; the copy is let go then
   */
  change(work: (doc: Y.Doc) => void): Uint8Array | null {
    const isNew = this.#copy === undefined;
    try {
      return merged(this.#change(work));
    } catch (error) {
      // A blank root of this copy still is what the change before took it for; of the document it may be anything.
      const isWrongType = error instanceof IndelibleError && error.code === 'wrong_type';
      if (isNew || !isWrongType) throw error;
      return merged(this.#change(work));
    }
  }

  /**
   * Takes in an update.
   * @returns the update, with what Yjs has taken away of it. What others have brought that waited for it is theirs
   * @throws what Yjs throws; the copy is let go then
   */
  take(update: Uint8Array): Uint8Array {
    const [, ...takenAway] = this.#change((doc) => applyUpdate(doc, update));
    return takenAway.length === 0 ? update : Y.mergeUpdates([update, ...takenAway]);
  }

  /** @returns what it has changed; and what Yjs then takes away, since that has made it redundant, in transactions of its own */
  #change(work: (doc: Y.Doc) => void): Uint8Array[] {
    const { doc } = this;
    const updates: Uint8Array[] = [];
    const keep = (update: Uint8Array) => updates.push(update);
    doc.on('update', keep);
    try {
      doc.transact((transaction) => {
        work(doc);
        // Formatting that is redundant is taken away here, as it may be in the document, to which this comes from elsewhere.
        // oxlint-disable-next-line no-underscore-dangle -- Yjs does so of its own accord for such changes only, in texts that it knows as such
        transaction._needFormattingCleanup = true;
      });
    } catch (error) {
      this.discard();
      throw error;
    } finally {
      doc.off('update', keep);
    }
    return updates;
  }

  /** Lets the copy go, with what the document does not hold. */
  discard(): void {
    clearTimeout(this.#idle);
    this.#open.document.off('update', this.#follow);
    this.#copy?.destroy();
    this.#copy = undefined;
  }

  #begin(): Y.Doc {
    this.#open.document.on('update', this.#follow);
    return copyOf(this.#open.document);
  }

  readonly #follow = (update: Uint8Array) => {
    const copy = this.#copy;
    if (copy === undefined) return;
    let hasStrayed = false;
    const watch = (_update: Uint8Array, _origin: unknown, _doc: Y.Doc, { local }: Y.Transaction) => {
      hasStrayed ||= local;
    };
    copy.on('update', watch);
    try {
      applyUpdate(copy, update);
    } catch {
      hasStrayed = true;
    }
    copy.off('update', watch);
    // Yjs has thrown, or taken away formatting of its own accord, as the document itself has not. The next copy is made of what that
    // is then.
    if (hasStrayed) this.discard();
  };
}

function merged(updates: Uint8Array[]): Uint8Array | null {
  return updates.length > 1 ? Y.mergeUpdates(updates) : (updates[0] ?? null);
}
