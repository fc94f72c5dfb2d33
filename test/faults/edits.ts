import * as Y from 'yjs';
import type { Pick } from '../helpers/random.ts';
import { ROOTS, inText } from './ledger.ts';

/** Puts an element somewhere, in one of the ways that an editor may use. */
export function putElement(doc: Y.Doc, element: string, pick: Pick): void {
  const list = doc.getArray<unknown>(ROOTS.list);
  switch (pick(5)) {
    case 0:
      doc.getMap(ROOTS.map).set(element, { by: element });
      break;
    case 1:
      list.insert(pick(list.length + 1), [inText(element)]);
      break;
    case 2: {
      const nested = new Y.Map<unknown>();
      list.push([nested]);
      nested.set('is', new Y.Text(inText(element)));
      break;
    }
    case 3: {
      const paragraph = new Y.XmlElement('p');
      doc.getXmlFragment(ROOTS.xml).push([paragraph]);
      paragraph.push([new Y.XmlText(inText(element))]);
      break;
    }
    default:
      doc.getText(ROOTS.text).insert(placeIn(doc, pick), inText(element));
  }
}

/** Inserts into the text what is no element, or deletes some of it. */
export function makeNoise(doc: Y.Doc, pick: Pick): void {
  const text = doc.getText(ROOTS.text);
  const at = text.toString().indexOf('~');
  if (at !== -1 && pick(2) === 0) text.delete(at, 1);
  else text.insert(placeIn(doc, pick), '~~');
}

/** Formats a character of the text, if there is one. */
export function formatSome(doc: Y.Doc, pick: Pick): void {
  const text = doc.getText(ROOTS.text);
  if (text.length > 0) text.format(pick(text.length), 1, { bold: pick(2) === 0 });
}

/** A place in the text that is in no element. */
function placeIn(doc: Y.Doc, pick: Pick): number {
  const text = doc.getText(ROOTS.text).toString();
  const start = text.indexOf('‹', pick(text.length + 1));
  return start === -1 ? text.length : start;
}
