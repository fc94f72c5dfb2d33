import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { isTooDeep as areTooDeep } from '../../server/documents/nesting.ts';

const isTooDeep = (doc: Y.Doc, update: Uint8Array) => areTooDeep(doc, Y.decodeUpdate(update).structs);

/** Maps within one another, each added by an update of its own. */
function nest(levels: number, doc = new Y.Doc()): Uint8Array[] {
  const updates: Uint8Array[] = [];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  let map = doc.getMap<unknown>('root');
  for (let level = 1; level < levels; level += 1) {
    const inner = new Y.Map<unknown>();
    map.set('in', inner);
    map = inner;
  }
  map.set('value', 1);
  return updates;
}

function documentOf(updates: Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  for (const update of updates) Y.applyUpdate(doc, update);
  return doc;
}

describe('types within one another', () => {
  test('[A9] may lie 500 levels deep, and no deeper', () => {
    expect(isTooDeep(new Y.Doc(), Y.mergeUpdates(nest(500)))).toBe(false);
    expect(isTooDeep(new Y.Doc(), Y.mergeUpdates(nest(501)))).toBe(true);
  });

  test('[A9] are counted with those that they are put into', () => {
    const updates = nest(501);
    const last = updates.pop() as Uint8Array;
    expect(isTooDeep(documentOf(updates), last)).toBe(true);
    expect(isTooDeep(documentOf(nest(499)), last)).toBe(false);
  });

  test('[A9] and what stands beside something is as deep as that', () => {
    const doc = new Y.Doc();
    const inner = new Y.Array<number>();
    const updates = nest(499, doc);
    let map = doc.getMap<unknown>('root');
    while (map.get('in') !== undefined) map = map.get('in') as Y.Map<unknown>;
    map.set('list', inner);
    inner.push([1]);
    expect(isTooDeep(new Y.Doc(), Y.mergeUpdates(updates))).toBe(false);
    const deeper = new Y.Array<number>();
    inner.push([2, deeper as unknown as number]);
    deeper.push([3]);
    expect(isTooDeep(new Y.Doc(), Y.mergeUpdates(updates))).toBe(true);
    expect(isTooDeep(documentOf(updates.slice(0, -1)), updates.at(-1) as Uint8Array)).toBe(true);
  });

  test('[A9] thousands of levels are told without overflowing the stack, the innermost first', () => {
    const doc = new Y.Doc();
    const updates = nest(5_000, doc);
    expect(isTooDeep(new Y.Doc(), Y.mergeUpdates(updates.toReversed()))).toBe(true);
  });

  test('[A9] may bring half of the levels themselves when they hang on what is missing', () => {
    const doc = new Y.Doc();
    doc.getMap('root').set('in', new Y.Map());
    const before = Y.encodeStateVector(doc);
    let map = doc.getMap('root').get('in') as Y.Map<unknown>;
    const deepen = (levels: number) => {
      for (let level = 0; level < levels; level += 1) map = map.set('in', new Y.Map<unknown>());
      return Y.encodeStateAsUpdate(doc, before);
    };
    expect(isTooDeep(new Y.Doc(), deepen(250))).toBe(false);
    expect(isTooDeep(new Y.Doc(), deepen(1))).toBe(true);
    expect(isTooDeep(documentOf([Y.encodeStateAsUpdate(doc)]), deepen(1))).toBe(false);
  });

  test('[A9] what a document usually is passes', () => {
    const doc = new Y.Doc();
    const fragment = doc.getXmlFragment('content');
    for (let index = 0; index < 100; index += 1) {
      const paragraph = new Y.XmlElement('p');
      fragment.push([paragraph]);
      paragraph.push([new Y.XmlText(`paragraph ${index}`)]);
    }
    fragment.delete(10, 20);
    expect(isTooDeep(new Y.Doc(), Y.encodeStateAsUpdate(doc))).toBe(false);
  });
});
