import * as Y from 'yjs';
import { pickOf, randomOf } from './random.ts';

const PEOPLE = 4;
const EDITS = 150;

/** People who type, format, nest and delete, each of whom has seen some of what the others did: all of their updates. */
export function historyOf(seed: number): Uint8Array[] {
  const pick = pickOf(randomOf(seed));
  const updates: Uint8Array[] = [];
  const people = Array.from({ length: PEOPLE }, (_, index) => {
    const doc = new Y.Doc();
    doc.clientID = index + 1;
    doc.on('update', (update: Uint8Array, origin: unknown) => origin !== 'others' && updates.push(update));
    return doc;
  });
  for (let edit = 0; edit < EDITS; edit += 1) {
    const doc = people[pick(PEOPLE)] as Y.Doc;
    for (const update of updates.slice(-pick(20))) Y.applyUpdate(doc, update, 'others');
    change(doc, pick);
  }
  return updates;
}

function change(doc: Y.Doc, pick: (below: number) => number): void {
  const text = doc.getText('content');
  const page = doc.getXmlFragment('page');
  const at = pick(text.length + 1);
  const paragraph = page.length === 0 ? undefined : (page.get(pick(page.length)) as Y.XmlText);
  const changes = [
    () => text.insert(at, `some ${at} `),
    () => text.delete(at, Math.min(3, text.length - at)),
    () => text.format(at, Math.min(5, text.length - at), { bold: pick(2) === 0 ? true : null }),
    () => page.insert(pick(page.length + 1), [new Y.XmlText('nested')]),
    () => paragraph?.insert(pick(paragraph.length + 1), 'more'),
    () => paragraph?.format(0, pick(paragraph.length + 1), { italic: pick(2) === 0 ? true : null }),
    () => doc.getMap('map').set(`${pick(5)}`, new Y.Array()),
    () => page.length > 3 && page.delete(pick(page.length), 1),
  ];
  changes[pick(changes.length)]?.();
}

/** What a document holds, shown, waiting and deleted. */
export function standing(doc: Y.Doc) {
  const { pendingStructs, pendingDs } = doc.store;
  return {
    snapshot: Y.encodeSnapshot(Y.snapshot(doc)),
    waiting: [pendingStructs?.update, pendingDs],
    // As text: where a type stands in a text, the delta has the type itself, and by it all of its document.
    content: JSON.stringify([
      doc.getText('content').toDelta(),
      doc.getXmlFragment('page').toJSON(),
      doc.getMap('map').toJSON(),
    ]),
  };
}
