import * as Y from 'yjs';
import { createSignal } from '../helpers/deadline.ts';

interface Entry {
  readonly document: string;
  /** Milliseconds of `performance.now()`; when it left its client last, and when it was acknowledged. */
  sentAt: number | undefined;
  ackedAt: number | undefined;
}

/** What was typed, in elements that are unique, and what of it was acknowledged. It outlives whatever happens to a server. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** Fires with every ack. */
  readonly changed = createSignal();
  #acked = 0;
  #lastAckAt = -Infinity;

  typed(document: string, element: string): void {
    this.#entries.set(element, { document, sentAt: undefined, ackedAt: undefined });
  }

  sent(element: string): void {
    const entry = this.#entries.get(element);
    if (entry !== undefined) entry.sentAt = performance.now();
  }

  acked(element: string): void {
    const entry = this.#entries.get(element);
    if (entry === undefined || entry.ackedAt !== undefined) return;
    this.#lastAckAt = entry.ackedAt = performance.now();
    this.#acked += 1;
    this.changed.fire();
  }

  /** Nobody will bring this element any more; an acknowledged one is owed all the same. */
  givenUp(element: string): void {
    if (this.#entries.get(element)?.ackedAt === undefined) this.#entries.delete(element);
  }

  /** Elements that were typed. */
  get typedCount(): number {
    return this.#entries.size;
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

  /** The acknowledged elements of a document that it does not hold: edits that were lost. */
  lostIn(document: string, doc: Y.Doc | null): string[] {
    const held = doc === null ? new Set<string>() : elementsOf(doc);
    return [...this.#entries]
      .filter(
        ([element, { document: its, ackedAt }]) =>
          its === document && ackedAt !== undefined && !held.has(element),
      )
      .map(([element]) => element);
  }
}

/** Where elements are put, in each of the ways that an editor may use. */
export const ROOTS = { text: 'content', map: 'map', list: 'list', xml: 'xml' } as const;

/** An element as it stands in text. */
export const inText = (element: string) => `‹${element}›`;

/** Every element that a document holds. */
function elementsOf(doc: Y.Doc): Set<string> {
  const text = doc.getText(ROOTS.text).toString();
  const xml = xmlOf(doc);
  const list = JSON.stringify(doc.getArray(ROOTS.list).toJSON());
  const waiting = waitingIn(doc);
  const quoted = Array.from(
    `${text}${xml}${list}${JSON.stringify(waiting.values)}`.matchAll(/‹([^›]+)›/g),
    ([, element]) => element as string,
  );
  return new Set([...quoted, ...doc.getMap(ROOTS.map).keys(), ...waiting.keys]);
}

/** What a document keeps aside, since edits before it are missing: they may still come, or have gone with their author. */
function waitingIn(doc: Y.Doc): { keys: string[]; values: unknown[] } {
  const { pendingStructs } = doc.store;
  const structs = pendingStructs === null ? [] : Y.decodeUpdateV2(pendingStructs.update).structs;
  const items = structs.filter((struct) => struct instanceof Y.Item);
  return {
    keys: items.flatMap(({ parentSub }) => parentSub ?? []),
    values: items.map(({ content }) =>
      content instanceof Y.ContentString ? content.str : content instanceof Y.ContentAny ? content.arr : null,
    ),
  };
}

/** The XML of a document, as text. */
export function xmlOf(doc: Y.Doc): string {
  return doc.getXmlFragment(ROOTS.xml).toJSON();
}
