import * as Y from 'yjs';
import { IndelibleError, type ErrorCode } from '../errors.ts';
import { sameBytes, type StoredDocument } from '../storage/stored-document.ts';
import type { Document } from './host.ts';
import { isTooDeep } from './nesting.ts';
import { Presence, type PresenceLimits } from './presence.ts';
import { StateAnswers } from './state-answers.ts';
import { wouldWait, type UpdateShape } from './update-check.ts';

/**
 * Folding is worth it when the tail is long enough to pay for rewriting the snapshot: a quarter of its bytes bounds
 * what is written to five times what was edited; the row limits bound what a load has to read.
 */
const FOLD_MIN_ROWS = 100;
const FOLD_MAX_ROWS = 5_000;
const FOLD_SNAPSHOT_SHARE = 0.25;

/** Bounds; see the settings of the same names. */
export interface DocumentLimits {
  readonly documentBytes: number;
  readonly pendingBytes: number;
  readonly presence: PresenceLimits;
}

/** One document in memory. */
export class OpenDocument {
  readonly document: Document;
  readonly presence: Presence;
  readonly answers: StateAnswers;
  /** Number of the last update of this document in the update log; everything up to it is what the document holds. */
  lastSequence = 0;
  /** Set when an update threw: what is in memory can no longer be trusted, and nobody may attach to it. */
  isSpoilt = false;

  readonly #limits: DocumentLimits;
  #tailRows: number;
  #tailBytes: number;
  #snapshotBytes: number;
  #captured: Uint8Array[] | undefined;
  #isDelivering = false;
  #minRows = FOLD_MIN_ROWS;

  /**
   * @param onUpdate - called with every change that did not come through {@link apply}
   */
  constructor(
    document: Document,
    stored: StoredDocument | null,
    options: { onUpdate: (update: Uint8Array, origin: unknown) => void; limits: DocumentLimits },
  ) {
    this.document = document;
    this.presence = new Presence(document, options.limits.presence);
    this.answers = new StateAnswers(document);
    this.#limits = options.limits;
    const tail = stored?.tail ?? [];
    this.#tailRows = tail.length;
    this.#tailBytes = tail.reduce((sum, { update }) => sum + update.byteLength, 0);
    this.#snapshotBytes = stored?.snapshot?.byteLength ?? 0;
    document.on('update', (update: Uint8Array, origin: unknown) => {
      if (this.#captured) this.#captured.push(update);
      else options.onUpdate(update, origin);
    });
  }

  get name(): string {
    return this.document.name;
  }

  /**
   * Why an update cannot be taken in; `null` when it can. Deleting is always possible, and so is what brings nothing new.
   * @param shape - what the check of the update has seen
   */
  refusalOf(update: Uint8Array, { hasTypes }: UpdateShape): ErrorCode | null {
    if (hasTypes && isTooDeep(this.document, update)) return 'bad_update';
    const { documentBytes, pendingBytes } = this.#limits;
    if (this.#pendingBytes + update.byteLength > pendingBytes && wouldWait(this.document, update)) {
      return 'too_much_pending';
    }
    const isTooLarge = this.#snapshotBytes + this.#tailBytes + update.byteLength > documentBytes;
    return isTooLarge && holdsStructs(update) && !this.contains(update) ? 'document_too_large' : null;
  }

  /**
   * Applies an update of a client.
   * @param shape - what the check of the update has seen
   * @returns the bytes that the log needs so that this edit can be rebuilt; `null` when it brought nothing new
   * @throws whatever Yjs throws, and {@link IndelibleError} `bad_update`; the document may have been changed then
   */
  apply(update: Uint8Array, origin: unknown, shape: UpdateShape): Uint8Array | null {
    const { store } = this.document;
    // The bytes, not the object that holds them: Yjs changes that in place.
    const [structs, deletions] = [store.pendingStructs?.update, store.pendingDs];
    const captured: Uint8Array[] = (this.#captured = []);
    try {
      Y.applyUpdate(this.document, this.#withoutKnown(update, shape), origin);
    } finally {
      this.#captured = undefined;
    }
    // Where predecessors are missing, Yjs keeps the update aside and fires no event: the log takes its own bytes. So it
    // does when predecessors arrive: the event holds what waited for them too, which has a row, and maybe another author.
    const isPending =
      !sameBytes(structs, store.pendingStructs?.update) || !sameBytes(deletions, store.pendingDs);
    if (isPending) {
      // What waited could not be judged when it came.
      if (captured.some((news) => isTooDeep(this.document, news))) throw new IndelibleError('bad_update');
      return update.slice();
    }
    if (captured.length <= 1) return captured[0] ?? null;
    return Y.mergeUpdates(captured);
  }

  /**
   * Where the document has a part of somebody's clocks, Yjs cuts a struct in two, and throws when what it has there is not
   * what comes: when somebody else has claimed those clocks while the edit was on its way.
   */
  #withoutKnown(update: Uint8Array, { sections }: UpdateShape): Uint8Array {
    const isCut = sections.some(({ client, start, end }) => {
      const state = Y.getState(this.document.store, client);
      return start < state && state < end;
    });
    return isCut ? Y.diffUpdate(update, Y.encodeStateVector(this.document)) : update;
  }

  /** Whether an update is kept aside because its predecessors are missing. */
  get isWaitingForMore(): boolean {
    const { store } = this.document;
    return store.pendingStructs !== null || store.pendingDs !== null;
  }

  get #pendingBytes(): number {
    const { pendingStructs, pendingDs } = this.document.store;
    return (pendingStructs?.update.byteLength ?? 0) + (pendingDs?.byteLength ?? 0);
  }

  /** Whether a read-only client's answer holds nothing that the document lacks. */
  contains(update: Uint8Array): boolean {
    return Y.snapshotContainsUpdate(Y.snapshot(this.document), update);
  }

  /** Measures the time from the frame of an edit to its broadcast, which Hocuspocus does when this turn ends. */
  observeDelivery(since: number, histogram: { observe(seconds: number): void }): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    // Runs after Hocuspocus's own, which the update has scheduled before.
    setImmediate(() => {
      this.#isDelivering = false;
      histogram.observe((performance.now() - since) / 1000);
    });
  }

  /** Counts an update that went to the log. */
  countTail(bytes: number): void {
    this.#tailRows += 1;
    this.#tailBytes += bytes;
  }

  get isWorthFolding(): boolean {
    if (this.#tailRows < this.#minRows) return false;
    return this.#tailRows >= FOLD_MAX_ROWS || this.#tailBytes >= this.#snapshotBytes * FOLD_SNAPSHOT_SHARE;
  }

  /** So many rows are in the snapshot now; those that came meanwhile are few, and their bytes fewer. */
  folded(rows: number, snapshotBytes: number): void {
    this.#tailRows = Math.max(0, this.#tailRows - rows);
    this.#tailBytes = 0;
    this.#snapshotBytes = snapshotBytes;
    this.#minRows = FOLD_MIN_ROWS;
  }

  /** Folding was not possible: to be tried again when the tail has doubled. */
  notFolded(): void {
    this.#minRows = this.#tailRows * 2;
  }
}

/** An update begins with the number of clients that wrote something in it; one that only deletes has none. */
function holdsStructs(update: Uint8Array): boolean {
  return update[0] !== 0;
}
