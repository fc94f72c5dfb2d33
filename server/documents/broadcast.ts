import { SyncStep, encodeSync } from '../protocol/frames.ts';
import type { Connection, Document } from './host.ts';
import { outgoing } from './outgoing.ts';

/**
 * For each person in a document: a thousand frames of presence a second, however many move. A frame costs some 8 µs, so that is a
 * hundredth of a processor. Two people see each other's cursors after 2 ms, two hundred after 0.2 s.
 */
const PRESENCE_MS_PER_PERSON = 1;
const PRESENCE_MAX_MS = 1_000;
/** And of edits by several: seven thousand frames a second in a room of two hundred, who do not see 30 ms. */
const EDITS_MS_PER_PERSON = 0.15;
const EDITS_MAX_MS = 30;

/** What a document of Hocuspocus keeps to itself: what it has to send, and how it does. */
interface Sending {
  pendingAwarenessClients: Set<number>;
  pendingUpdates: Uint8Array[];
  pendingUpdateBytes: number;
  broadcast(encode: (address: string) => Uint8Array, filter: (connection: Connection) => boolean): void;
  broadcastUpdate(update: Uint8Array): void;
  readonly flushMaxBytes: number;
}

/** Where an edit comes from, for Hocuspocus and for us. */
export interface Origin {
  readonly source: string;
  /** Of the client that has sent it. */
  readonly connection?: Connection;
}

/**
 * What a document tells those who are connected to it, and when. Edits and presence leave at once where it was quiet. In a full room
 * presence thins out to the latest of all together, and edits of several who type at the same time share a frame; those of one person
 * who types alone never wait. (Hocuspocus sends what a turn of the event loop has brought: of 200 cursors that move in a second each leaves alone,
 * to everybody.)
 */
export class Broadcast {
  readonly #document: Document;
  readonly #sending: Sending;
  readonly #flushAll: () => void;
  /** Whether what changes now is nothing but what a client has sent. */
  #isAsSent = false;
  /** Of how many of the edits that wait it is known whose they are. */
  #attributed = 0;
  /** Whose all of them are; `undefined` when several have made them, or somebody who is not connected here. */
  #author: Connection | undefined;
  /** Who needs none of them, having sent all of them. */
  #knowing: Connection | null = null;
  /** Whose were sent last. */
  #lastAuthor: Connection | undefined;
  /** When edits of others than that one may be sent, and when presence, in milliseconds of `performance.now()`. */
  #editsAt = 0;
  #presenceAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #onEditsSent: (() => void) | undefined;
  #onPresenceDue = () => {};
  /** Whether somebody waits to be called when presence is due. */
  #isAwaited = false;

  constructor(document: Document) {
    this.#document = document;
    this.#sending = document as unknown as Sending;
    this.#flushAll = document.flush.bind(document);
    document.flush = () => {
      this.#sendDue();
      return document;
    };
    this.#sending.broadcastUpdate = (update) => this.#broadcastUpdate(update);
    // Hocuspocus's own listener came before, which puts an edit to the others.
    document.on('update', (update: Uint8Array, origin: unknown) => this.#attribute(update, origin));
    document.on('destroy', () => clearTimeout(this.#timer));
  }

  /**
   * Applies what has arrived.
   * @param isAsSent - whether that is all that changes: nothing has waited for it, which its client may lack. Then it is not sent back
   */
  during(isAsSent: boolean, apply: () => void): void {
    this.#isAsSent = isAsSent;
    try {
      apply();
    } finally {
      this.#isAsSent = false;
    }
  }

  /** Calls the listener when the edits that wait to be sent are, if any do; of several listeners the first. */
  onceSent(listener: () => void): void {
    if (this.#sending.pendingUpdates.length > 0) this.#onEditsSent ??= listener;
  }

  /** Whether presence that is told now has to wait, for its time or for what this turn sends. The listener is called when it is due. */
  presenceWaits(): boolean {
    const waits = performance.now() < Math.max(this.#presenceAt, this.#editsAt);
    if (!waits && this.#sending.pendingAwarenessClients.size === 0) return false;
    this.#isAwaited = true;
    if (waits) this.#wait();
    return true;
  }

  /** @param listener - called before presence is sent that has waited, so that it can still be changed */
  onPresenceDue(listener: () => void): void {
    this.#onPresenceDue = listener;
  }

  /** Somebody has left. */
  forget(connection: Connection): void {
    if (this.#lastAuthor === connection) this.#lastAuthor = undefined;
  }

  /** Sends at once what is held back. */
  flush(): void {
    this.#send(true);
  }

  #attribute(update: Uint8Array, origin: unknown): void {
    const { pendingUpdates } = this.#sending;
    // It was so large that all have left at once.
    if (pendingUpdates.at(-1) !== update) return;
    const { connection } = (origin ?? {}) as Partial<Origin>;
    const knowing = connection !== undefined && this.#isAsSent ? connection : null;
    const isFirst = pendingUpdates.length === 1;
    this.#author = isFirst || this.#author === connection ? connection : undefined;
    this.#knowing = isFirst || this.#knowing === knowing ? knowing : null;
    // One that nobody has told of stays so.
    if (this.#attributed === pendingUpdates.length - 1) this.#attributed += 1;
  }

  #sendDue(): void {
    const now = performance.now();
    const areEditsDue = this.#sending.pendingUpdates.length > 0 && this.#areEditsDue(now);
    // Where people type it rides with their edits, in the same system call.
    const isPresenceDue = now >= this.#presenceAt && (areEditsDue || now >= this.#editsAt);
    if (isPresenceDue && this.#isAwaited) {
      this.#isAwaited = false;
      this.#onPresenceDue();
    }
    const hasPresence = isPresenceDue && this.#sending.pendingAwarenessClients.size > 0;
    if (areEditsDue || hasPresence) this.#send(hasPresence);
    this.#wait();
  }

  #areEditsDue(now: number): boolean {
    const { pendingUpdates, pendingUpdateBytes, flushMaxBytes } = this.#sending;
    const isOfLast = this.#author !== undefined && this.#author === this.#lastAuthor;
    return (
      now >= this.#editsAt ||
      (isOfLast && this.#attributed === pendingUpdates.length) ||
      pendingUpdateBytes >= flushMaxBytes
    );
  }

  /** Has Hocuspocus send the edits that it has, and presence, too, or not yet. */
  #send(withPresence: boolean): void {
    const sending = this.#sending;
    const count = sending.pendingUpdates.length;
    const held = withPresence ? new Set<number>() : sending.pendingAwarenessClients;
    if (!withPresence) sending.pendingAwarenessClients = new Set();
    const hasPresence = sending.pendingAwarenessClients.size > 0;
    if (this.#attributed !== count) [this.#author, this.#knowing] = [undefined, null];
    if (count > 0 && hasPresence) outgoing.together(this.#flushAll);
    else this.#flushAll();
    // Somebody whose connection is found to be closed by that has left meanwhile, so that there may be others now.
    for (const id of held) sending.pendingAwarenessClients.add(id);
    const people = this.#document.connections.size;
    const now = performance.now();
    if (hasPresence) this.#presenceAt = now + Math.min(people * PRESENCE_MS_PER_PERSON, PRESENCE_MAX_MS);
    if (count === 0) return;
    this.#editsAt = now + Math.min(Math.floor(people * EDITS_MS_PER_PERSON), EDITS_MAX_MS);
    this.#lastAuthor = this.#author;
    [this.#author, this.#knowing, this.#attributed] = [undefined, null, 0];
    const onSent = this.#onEditsSent;
    this.#onEditsSent = undefined;
    onSent?.();
  }

  #broadcastUpdate(update: Uint8Array): void {
    const knowing = this.#knowing;
    this.#sending.broadcast(
      (address) => encodeSync(address, SyncStep.Update, update),
      (connection) => connection !== knowing,
    );
  }

  /** Comes back when what is held back is due. */
  #wait(): void {
    const { pendingUpdates, pendingAwarenessClients } = this.#sending;
    const at = Math.min(
      pendingUpdates.length > 0 ? this.#editsAt : Infinity,
      pendingAwarenessClients.size > 0 || this.#isAwaited
        ? Math.max(this.#presenceAt, this.#editsAt)
        : Infinity,
    );
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.#sendDue();
      },
      Math.max(Math.ceil(at - performance.now()), 0),
    );
  }
}
