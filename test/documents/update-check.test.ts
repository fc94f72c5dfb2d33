import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { checkUpdate } from '../../server/documents/update-check.ts';
import { HOSTILE_CLIENT, HOSTILE_UPDATES, mutate } from '../helpers/hostile.ts';
import { randomOf } from '../helpers/random.ts';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

const LIMITS = { structs: 100_000, clients: 1_000 };
/** A document with something of everything that Yjs knows. */
function everything(clientID?: number): Y.Doc {
  const doc = new Y.Doc();
  doc.clientID = clientID ?? doc.clientID;
  const text = doc.getText('content');
  text.insert(0, 'hello wörld 👋', { bold: true });
  text.insertEmbed(3, { image: 'x' });
  text.format(0, 4, { italic: { level: 1 } });
  text.delete(2, 3);
  const map = doc.getMap<unknown>('map');
  map.set('values', [1, 'two', null, undefined, { deep: [true] }, new Uint8Array(9), 2n ** 60n]);
  map.set('document', new Y.Doc({ guid: 'guid' }));
  map.set('text', new Y.Text('nested'));
  map.set('text', new Y.XmlText('replaced'));
  const list = doc.getArray<unknown>('list');
  list.push([new Y.Map(), new Y.Array(), new Uint8Array(3), 'x', 1]);
  list.delete(1, 2);
  doc
    .getXmlFragment('xml')
    .push([new Y.XmlElement('p'), new Y.XmlText('y'), new Y.XmlHook('hook') as unknown as Y.XmlElement]);
  return doc;
}

describe('what Yjs writes passes', () => {
  test('[A9] every type, content and deletion, whole and as differences', () => {
    const [one, two] = [everything(), everything()];
    const state = Y.encodeStateAsUpdate(one);
    checkUpdate(state, LIMITS);
    Y.applyUpdate(two, state);
    two.getText('content').insert(1, 'more');
    checkUpdate(Y.encodeStateAsUpdate(two, Y.encodeStateVector(one)), LIMITS);
    checkUpdate(Y.encodeStateAsUpdate(new Y.Doc()), LIMITS);
    expect(Y.encodeStateVector(two).byteLength).toBeGreaterThan(Y.encodeStateVector(one).byteLength);
  });

  test('[A9] merged updates with gaps between them', () => {
    const doc = new Y.Doc();
    const updates: Uint8Array[] = [];
    doc.on('update', (update: Uint8Array) => updates.push(update));
    for (const letter of 'abcdef') doc.getText('content').insert(0, letter);
    checkUpdate(Y.mergeUpdates(updates.filter((_, index) => index % 2 === 0)), LIMITS);
    expect(updates).toHaveLength(6);
  });

  test('[A9] each update of a real history', () => {
    const doc = new Y.Doc();
    let checked = 0;
    doc.on('update', (update: Uint8Array) => {
      checkUpdate(update, LIMITS);
      checked += 1;
    });
    const txns = readTrace('friendsforever_flat').txns.slice(0, 5_000);
    for (const transaction of txns) typeTransaction(doc.getText('content'), transaction);
    checkUpdate(Y.encodeStateAsUpdate(doc), LIMITS);
    expect(checked).toBeGreaterThan(4_000);
  });
});

describe('what no client of Yjs writes is refused', () => {
  test.each(HOSTILE_UPDATES)('[A9] %s', (_name, update, complaint) => {
    expect(() => checkUpdate(update, LIMITS)).toThrow(complaint);
    expect(() => checkUpdate(update, LIMITS)).toThrow(expect.objectContaining({ code: 'bad_update' }));
  });

  test('[A9] more structs or clients than the limits', () => {
    const doc = everything();
    const update = Y.encodeStateAsUpdate(doc);
    expect(() => checkUpdate(update, { structs: 3, clients: 10 })).toThrow('more than 3 structs');
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(everything()));
    expect(() => checkUpdate(Y.encodeStateAsUpdate(doc), { structs: 1_000, clients: 1 })).toThrow(
      'more than 1 clients',
    );
  });
});

test.each([1, 2, 3])('[A9] of mutated updates none that passes makes Yjs throw (seed %i)', (seed) => {
  const random = randomOf(seed);
  const base = everything(1);
  const state = Y.encodeStateAsUpdate(base);
  const difference = differenceOn(state);
  let passed = 0;
  for (let round = 0; round < 4_000; round += 1) {
    const update = mutate(difference, random, state);
    if (!passes(update)) continue;
    passed += 1;
    const doc = new Y.Doc();
    Y.applyUpdate(doc, state);
    Y.applyUpdate(doc, update);
  }
  expect(passed).toBeGreaterThan(100);
});

/** What somebody types who has read a document. */
function differenceOn(state: Uint8Array): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = HOSTILE_CLIENT;
  Y.applyUpdate(doc, state);
  const before = Y.encodeStateVector(doc);
  doc.getText('content').insert(3, 'typed');
  doc.getText('content').format(1, 3, { bold: null });
  doc.getMap('map').set('key', { a: [1, 2] });
  doc.getArray('list').insert(0, [new Y.Map()]);
  doc.getText('content').delete(0, 2);
  return Y.encodeStateAsUpdate(doc, before);
}

function passes(update: Uint8Array): boolean {
  try {
    checkUpdate(update, LIMITS);
    return true;
  } catch {
    return false;
  }
}
