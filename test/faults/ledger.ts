import * as Y from 'yjs';
import { createSignal } from '../helpers/deadline.ts';
import { Changes } from './changes.ts';

interface Entry {
  readonly document: string;
  /** Milliseconds of `performance.now()`; when it was typed, when it left its client last, and when it was acknowledged. */
  readonly typedAt: number;
  sentAt: number | undefined;
  ackedAt: number | undefined;
}

/** A frame with edits that was acknowledged. */
export interface AckedFrame {
  readonly by: string;
  readonly update: Uint8Array;
  /** What it holds, and what its author had been told is there. */
  readonly changes: Changes;
}

/** What is kept of it: there are very many. */
type KeptFrame = Omit<AckedFrame, 'changes'>;

/**
 * What was typed, and what of it was acknowledged: in elements, which are unique, and in structs and deletions, of which formats
 * and undone edits are made. It outlives whatever happens to a server.
 */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** What was acknowledged, by document. */
  readonly #owed = new Map<string, { changes: Changes; frames: KeptFrame[] }>();
  /** Fires with every ack. */
  readonly changed = createSignal();
  #typed = 0;
  #sent = 0;
  #acked = 0;
  #lastAckAt = -Infinity;

  typed(document: string, element: string): void {
    this.#typed += 1;
    const typedAt = performance.now();
    this.#entries.set(element, { document, typedAt, sentAt: undefined, ackedAt: undefined });
  }

  sent(element: string): void {
    const entry = this.#entries.get(element);
    if (entry === undefined) return;
    if (entry.sentAt === undefined) this.#sent += 1;
    entry.sentAt = performance.now();
  }

  acked(element: string): void {
    const entry = this.#entries.get(element);
    if (entry === undefined || entry.ackedAt !== undefined) return;
    this.#lastAckAt = entry.ackedAt = performance.now();
    this.#acked += 1;
    this.changed.fire();
  }

  /** The server has acknowledged a frame that holds these changes to a document. */
  ackedFrame(document: string, frame: AckedFrame): void {
    const owed = this.#owed.get(document) ?? { changes: new Changes(), frames: [] };
    this.#owed.set(document, owed);
    owed.changes.addAll(frame.changes);
    owed.frames.push({ by: frame.by, update: frame.update });
  }

  /** The frames of a document that were acknowledged, in the order of their acks. */
  framesOf(document: string): readonly KeptFrame[] {
    return this.#owed.get(document)?.frames ?? [];
  }

  /** Forgets everything but how much it was: Vitest holds on to the people of a test, and they to this, until it ends. */
  forget(): void {
    this.#entries.clear();
    this.#owed.clear();
  }

  /** Nobody will bring this element any more; an acknowledged one is owed all the same. */
  givenUp(element: string): void {
    if (this.#entries.get(element)?.ackedAt === undefined) this.#entries.delete(element);
  }

  /** Elements that were typed, those that nobody will bring any more too. */
  get typedCount(): number {
    return this.#typed;
  }

  /** Elements that have left their client, however often. */
  get sentCount(): number {
    return this.#sent;
  }

  get ackedCount(): number {
    return this.#acked;
  }

  /** Elements that wait for their ack. */
  get waiting(): number {
    return this.#entries.size - this.#acked;
  }

  /** When an element was acknowledged last: milliseconds of `performance.now()`. */
  get lastAckAt(): number {
    return this.#lastAckAt;
  }

  /** From the sending of each acknowledged element to its ack, in milliseconds; of those sent from then on. */
  latencies(since = -Infinity): number[] {
    return [...this.#entries.values()].flatMap(({ sentAt, ackedAt }) =>
      sentAt === undefined || sentAt < since || ackedAt === undefined ? [] : [ackedAt - sentAt],
    );
  }

  /** From the typing of each acknowledged element to its ack, in milliseconds, however often it was sent; of those typed from then on. */
  waits(since: number): number[] {
    return [...this.#entries.values()].flatMap(({ typedAt, ackedAt }) =>
      typedAt < since || ackedAt === undefined ? [] : [ackedAt - typedAt],
    );
  }

  /** What it says now, while acks go on. */
  copy(): Ledger {
    const copy = new Ledger();
    for (const [element, entry] of this.#entries) copy.#entries.set(element, { ...entry });
    for (const [document, { changes, frames }] of this.#owed)
      copy.#owed.set(document, { changes: new Changes().addAll(changes), frames: [...frames] });
    return copy;
  }

  /**
   * In words, what was acknowledged to a document that it does not hold, not even waiting: elements, structs and deletions that
   * were lost.
   */
  lostIn(document: string, doc: Y.Doc | null): string[] {
    const held = new Changes();
    // With what waits in it.
    if (doc !== null) held.add(Y.encodeStateAsUpdate(doc));
    const changes = this.#owed.get(document)?.changes.missingIn(held) ?? [];
    return [...this.lostElementsIn(document, doc), ...changes];
  }

  /** The acknowledged elements of a document that it does not hold, not even waiting. */
  lostElementsIn(document: string, doc: Y.Doc | null): string[] {
    const held = elementsIn(doc);
    return this.#elements(document, (isAcked) => isAcked).filter((element) => !held.has(element));
  }

  /** Acknowledged elements of a document that it holds, but does not show: they wait for edits before them. */
  waitingIn(document: string, doc: Y.Doc | null): string[] {
    const shown = new Set(doc === null ? [] : elementsShownIn(doc));
    return this.#elements(document, (isAcked) => isAcked).filter((element) => !shown.has(element));
  }

  /** Elements of a document that it holds, though they are not acknowledged. */
  unackedIn(document: string, doc: Y.Doc | null): string[] {
    const held = elementsIn(doc);
    return this.#elements(document, (isAcked) => !isAcked).filter((element) => held.has(element));
  }

  #elements(of: string, filter: (isAcked: boolean) => boolean): string[] {
    return [...this.#entries].flatMap(([element, { document, ackedAt }]) =>
      document === of && filter(ackedAt !== undefined) ? [element] : [],
    );
  }
}

/** Where elements are put, in each of the ways that an editor may use. */
export const ROOTS = { text: 'content', map: 'map', list: 'list', xml: 'xml' } as const;

/** An element as it stands in text. */
export const inText = (element: string) => `‹${element}›`;

/** Every element that a document holds. */
function elementsIn(doc: Y.Doc | null): Set<string> {
  return new Set(doc === null ? [] : [...elementsShownIn(doc), ...elementsWaitingIn(doc)]);
}

/** Every element that a document shows. */
function elementsShownIn(doc: Y.Doc): Set<string> {
  const text = doc.getText(ROOTS.text).toString();
  const list = JSON.stringify(doc.getArray(ROOTS.list).toJSON());
  return new Set([...quotedIn(`${text}${xmlOf(doc)}${list}`), ...doc.getMap(ROOTS.map).keys()]);
}

/** Elements that it keeps aside, since edits before them are missing: they may still come, or have gone with their author. */
function elementsWaitingIn(doc: Y.Doc): Set<string> {
  const { pendingStructs } = doc.store;
  const structs = pendingStructs === null ? [] : Y.decodeUpdateV2(pendingStructs.update).structs;
  const items = structs.filter((struct) => struct instanceof Y.Item);
  const values = items.map(({ content }) =>
    content instanceof Y.ContentString ? content.str : content instanceof Y.ContentAny ? content.arr : null,
  );
  return new Set([...quotedIn(JSON.stringify(values)), ...items.flatMap(({ parentSub }) => parentSub ?? [])]);
}

function quotedIn(text: string): string[] {
  return Array.from(text.matchAll(/‹([^›]+)›/g), ([, element]) => element as string);
}

/** The XML of a document, as text. */
export function xmlOf(doc: Y.Doc): string {
  return doc.getXmlFragment(ROOTS.xml).toJSON();
}
