import * as Y from 'yjs';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

export const ANNA = 12_345;

/** What Anna has typed, and the updates of her who types on, formats, and lists things. */
export function typingOfAnna(): { base: Uint8Array; updates: Uint8Array[] } {
  const doc = new Y.Doc();
  doc.clientID = ANNA;
  const text = doc.getText('content');
  const { txns } = readTrace('friendsforever_flat');
  for (const transaction of txns.slice(0, 20)) typeTransaction(text, transaction);
  const base = Y.encodeStateAsUpdate(doc);
  const updates: Uint8Array[] = [];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  for (const transaction of txns.slice(20, 40)) typeTransaction(text, transaction);
  text.format(0, 4, { bold: true });
  doc.getMap<unknown>('map').set('values', [1, 'two', { three: [true] }]);
  doc.getArray<unknown>('list').push([new Y.Map(), new Uint8Array(3)]);
  doc.getArray<unknown>('list').delete(0, 1);
  updates.push(Y.encodeStateAsUpdate(doc));
  return { base, updates };
}

/** A document as a client has it that is sent all of it. */
export function sent(doc: Y.Doc | null): Y.Doc {
  const copy = new Y.Doc();
  if (doc !== null) Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  return copy;
}

/** A document of Anna's, to be compared: everything that it holds, and what waits in it. */
export function describeDocument(doc: Y.Doc) {
  const { pendingStructs, pendingDs } = doc.store;
  const text = doc.getText('content');
  return {
    // Where an item contradicts itself, its place depends on what was there when it came: nobody can say which is right.
    content: hasContradiction(doc) ? text.toString().split('').toSorted() : (text.toDelta() as unknown),
    map: doc.getMap('map').toJSON(),
    list: doc.getArray('list').toJSON(),
    roots: [...doc.share.keys()].toSorted(),
    // State vector and delete set.
    snapshot: hexOf(Y.encodeSnapshot(Y.snapshot(doc))),
    waiting: [pendingStructs?.update, pendingDs].map(hexOf),
  };
}

const hexOf = (bytes: Uint8Array | null | undefined) => bytes && Buffer.from(bytes).toString('hex');

/** Whether an item lies to the left of what it says is on its left, or to the right of what is on its right: no client of Yjs says so. */
function hasContradiction({ store }: Y.Doc): boolean {
  const items = [...store.clients.values()].flat().filter((struct) => struct instanceof Y.Item);
  const places = new Map<Y.Item, number>();
  for (const first of items.filter(({ left }) => left === null)) {
    let place = 0;
    for (let item: Y.Item | null = first; item !== null; item = item.right) places.set(item, (place += 1));
  }
  const isBefore = (left: Y.Item, right: Y.Item) =>
    left.parent === right.parent && (places.get(left) ?? NaN) < (places.get(right) ?? NaN);
  const itemAt = (id: Y.ID | null) => {
    const found = id && (Y.getItem(store, id) as unknown);
    return found instanceof Y.Item ? found : null;
  };
  return items.some((item) => {
    const [left, right] = [itemAt(item.origin), itemAt(item.rightOrigin)];
    return (left !== null && !isBefore(left, item)) || (right !== null && !isBefore(item, right));
  });
}
