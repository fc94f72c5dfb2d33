import * as Y from 'yjs';
import { applyUpdate, sameBytes, type StoredDocument } from '../storage/stored-document.ts';
import type { Durable } from './acks.ts';
import { Broadcast, type Origin } from './broadcast.ts';
import type { Document } from './host.ts';
import { Presence, type PresenceLimits } from './presence.ts';
import { PendingEdits } from './pending-edits.ts';
import { RelayedUpdates } from './relayed-updates.ts';
import { StateAnswers } from './state-answers.ts';
import type { UpdateShape } from './update-check.ts';
import { weigh, type WeighedUpdate } from './weighed-update.ts';

/**
 * Folding is worth it when the tail is long enough to pay for rewriting the snapshot: a quarter of its bytes bounds
 * what is written to five times what was edited; the row limits bound what a load has to read.
 */
const FOLD_MIN_ROWS = 100;
/** While people are in it more is to come: at 20 edits/s in each of 200 documents this takes a tenth of the CPU less, of Postgres a sixth. */
const FOLD_MIN_ROWS_IN_USE = 500;
const FOLD_MAX_ROWS = 5_000;
const FOLD_SNAPSHOT_SHARE = 0.25;

/** A document of this size is sent in the time of a large edit. */
const SMALL_BYTES = 64 * 1024;

/** Bounds; see the settings of the same names. */
export interface DocumentLimits {
  readonly documentBytes: number;
  readonly pendingBytes: number;
  readonly presence: PresenceLimits;
}

/** One document in memory. */
export class OpenDocument {
  readonly document: Document;
  readonly broadcast: Broadcast;
  readonly presence: Presence;
  readonly answers: StateAnswers;
  /** What other instances have brought, and nobody has confirmed. */
  readonly relayed = new RelayedUpdates();
  readonly pending = new PendingEdits();
  /** Its id in the database, where it was stored when it was opened. */
  readonly id: string | null;
  /** Number of the last update of this document in the update log; everything up to it is what the document holds. */
  lastSequence = 0;
  /** Set when an update threw: what is in memory can no longer be trusted, and nobody may attach to it. */
  isSpoilt = false;
  /** An update has thrown a moment ago; nothing else may be applied. */
  hasThrown = false;

  readonly #limits: DocumentLimits;
  #tailRows: number;
  #tailBytes: number;
  #snapshotBytes: number;
  #captured: Uint8Array[] | undefined;
  #snapshot: Y.Snapshot | undefined;
  #minRows = FOLD_MIN_ROWS;

  /**
   * @param options - `onUpdate` is called with every change that did not come through {@link apply}, `onPresence` with those who
   * are connected here, or were until now, and whose presence has changed
   */
  constructor(
    document: Document,
    stored: StoredDocument | null,
    options: {
      onUpdate: (update: Uint8Array, origin: unknown) => void;
      onPresence: (ids: number[]) => void;
      /** Of its answers; see there. */
      onEncoded: () => void;
      limits: DocumentLimits;
    },
  ) {
    this.document = document;
    this.id = stored?.id ?? null;
    this.broadcast = new Broadcast(document);
    this.presence = new Presence(document, this.broadcast, options.limits.presence, options.onPresence);
    this.#limits = options.limits;
    const tail = stored?.tail ?? [];
    this.answers = new StateAnswers(document, {
      stored: tail.length === 0 ? (stored?.snapshot ?? null) : null,
      onEncoded: options.onEncoded,
    });
    this.#tailRows = tail.length;
    this.#tailBytes = tail.reduce((sum, { update }) => sum + update.byteLength, 0);
    this.#snapshotBytes = stored?.snapshot?.byteLength ?? 0;
    document.on('update', (update: Uint8Array, origin: unknown) => {
      this.#snapshot = undefined;
      if (this.#captured) this.#captured.push(update);
      else options.onUpdate(update, origin);
    });
  }

  get name(): string {
    return this.document.name;
  }

  /**
   * What an update means for the document.
   * @param shape - what the check of it has seen
   */
  weigh(update: Uint8Array, shape: UpdateShape): WeighedUpdate {
    const { pendingStructs, pendingDs } = this.document.store;
    const scales = {
      document: this.document,
      pendingBytes: (pendingStructs?.update.byteLength ?? 0) + (pendingDs?.byteLength ?? 0),
      storedBytes: this.#snapshotBytes + this.#tailBytes,
      limits: this.#limits,
      contains: (bytes: Uint8Array) => this.contains(bytes),
    };
    return weigh(scales, update, shape);
  }

  /** Whether an update is what comes next of each of its authors. */
  isNext({ sections }: UpdateShape): boolean {
    return sections.every(({ client, start }) => start === Y.getState(this.document.store, client));
  }

  /**
   * Applies an update of a client, or of another instance.
   * @returns the bytes that the log needs so that this edit can be rebuilt; `null` when it brought nothing new
   * @throws whatever Yjs throws; the document may have been changed in part then
   */
  apply({ bytes, isKnown, isClaimed }: WeighedUpdate, origin: Origin): Uint8Array | null {
    if (isKnown) return null;
    const { store } = this.document;
    // The bytes, not the object that holds them: Yjs changes that in place.
    const [structs, deletions] = [store.pendingStructs?.update, store.pendingDs];
    const news = this.#capture(() => applyUpdate(this.document, bytes, origin));
    // Where predecessors are missing, Yjs keeps the update aside and fires no event: the log takes its own bytes. So it
    // does when predecessors arrive: the event holds what waited for them too, which has a row, and maybe another author.
    const isPending =
      !sameBytes(structs, store.pendingStructs?.update) || !sameBytes(deletions, store.pendingDs);
    // And so it does where something else has an edit's clocks, and hides it: once that is set aside, the edit is there.
    return isPending || isClaimed ? bytes.slice() : news;
  }

  /**
   * Applies updates of one client in one transaction, to a document in which nothing waits for missing edits, up to one that does.
   * @param take - gives the next one, which must be what comes next of its authors; `null` when there is none any more
   * @returns the bytes that the log needs
   * @throws whatever Yjs throws on the update that was taken last
   */
  applyTogether(take: () => Uint8Array | null, origin: Origin): Uint8Array[] {
    let waiting: Uint8Array | null = null;
    const news = this.#capture(() => {
      this.document.transact(() => {
        while (waiting === null) {
          const update = take();
          if (update === null) break;
          applyUpdate(this.document, update, origin);
          if (this.isWaitingForMore) waiting = update.slice();
        }
      }, origin);
    });
    return [news, waiting].filter((bytes) => bytes !== null);
  }

  /** @returns what the document has told of a change; `null` when that is nothing */
  #capture(change: () => void): Uint8Array | null {
    const captured: Uint8Array[] = (this.#captured = []);
    try {
      this.broadcast.during(!this.isWaitingForMore, change);
    } catch (error) {
      this.hasThrown = true;
      throw error;
    } finally {
      this.#captured = undefined;
    }
    return captured.length > 1 ? Y.mergeUpdates(captured) : (captured[0] ?? null);
  }

  /** What an ack of a frame that is handled now has to wait for: everything that the document holds. */
  get due(): Durable {
    return { sequence: this.lastSequence, relayed: this.relayed.received };
  }

  /** Whether there is anything in it, deleted or not. */
  get hasContent(): boolean {
    return this.document.store.clients.size > 0 || this.isWaitingForMore;
  }

  /** Whether an update is kept aside because its predecessors are missing. */
  get isWaitingForMore(): boolean {
    const { store } = this.document;
    return store.pendingStructs !== null || store.pendingDs !== null;
  }

  /** Whether an update holds nothing that the document lacks. What waits for missing edits is lacking. */
  contains(update: Uint8Array): boolean {
    // Asked again and again by who reads and sends what it has; the same until something changes.
    this.#snapshot ??= Y.snapshot(this.document);
    return Y.snapshotContainsUpdate(this.#snapshot, update);
  }

  /** Whether sending all of it keeps nobody waiting. */
  get isSmall(): boolean {
    return this.#snapshotBytes + this.#tailBytes <= SMALL_BYTES;
  }

  /** Measures the time from the frame of an edit to its broadcast. */
  observeDelivery(since: number, histogram: { observe(seconds: number): void }): void {
    this.broadcast.onceSent(() => histogram.observe((performance.now() - since) / 1000));
  }

  /** Counts an update that went to the log of this instance: those of others are theirs to fold. */
  countTail(bytes: number): void {
    this.#tailRows += 1;
    this.#tailBytes += bytes;
  }

  get isWorthFolding(): boolean {
    if (this.#tailRows < this.#minRows) return false;
    // Near its limit, a document would be refused for a tail that folding makes shorter.
    if (this.#tailBytes > (this.#limits.documentBytes - this.#snapshotBytes) / 2) return true;
    if (this.#tailRows < FOLD_MIN_ROWS_IN_USE && this.document.getConnectionsCount() > 0) return false;
    return this.#tailRows >= FOLD_MAX_ROWS || this.#tailBytes >= this.#snapshotBytes * FOLD_SNAPSHOT_SHARE;
  }

  /** So many rows are in the snapshot now; those that came meanwhile are few, and their bytes fewer. */
  folded(rows: number, snapshotBytes: number): void {
    this.#tailRows = Math.max(0, this.#tailRows - rows);
    this.#tailBytes = 0;
    this.#snapshotBytes = snapshotBytes;
    this.#minRows = FOLD_MIN_ROWS;
  }

  /** Another instance has folded the tail, or is doing so. */
  foldedElsewhere(): void {
    this.#tailRows = 0;
    this.#tailBytes = 0;
  }

  /** Folding was not possible: to be tried again when the tail has doubled. */
  notFolded(): void {
    this.#minRows = this.#tailRows * 2;
  }
}
