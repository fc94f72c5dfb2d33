import type * as Y from 'yjs';

interface Entry {
  readonly document: string;
  isAcked: boolean;
}

/** What was typed, in elements that are unique, and what of it was acknowledged. It outlives whatever happens to a server. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  #acked = 0;

  typed(document: string, element: string): void {
    this.#entries.set(element, { document, isAcked: false });
  }

  acked(element: string): void {
    const entry = this.#entries.get(element);
    if (entry === undefined || entry.isAcked) return;
    entry.isAcked = true;
    this.#acked += 1;
  }

  get sent(): number {
    return this.#entries.size;
  }

  get ackedCount(): number {
    return this.#acked;
  }

  /** Elements that wait for their ack. */
  get waiting(): number {
    return this.#entries.size - this.#acked;
  }

  /** The acknowledged elements of a document that it does not hold: edits that were lost. */
  lostIn(document: string, doc: Y.Doc | null): string[] {
    const held = doc === null ? new Set<string>() : elementsOf(doc);
    return [...this.#entries]
      .filter(([element, entry]) => entry.document === document && entry.isAcked && !held.has(element))
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
  const quoted = Array.from(
    `${text}${xml}${list}`.matchAll(/‹([^›]+)›/g),
    ([, element]) => element as string,
  );
  return new Set([...quoted, ...doc.getMap(ROOTS.map).keys()]);
}

/** The XML of a document, as text. */
export function xmlOf(doc: Y.Doc): string {
  return doc.getXmlFragment(ROOTS.xml).toJSON();
}
