import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { pickOf, randomOf } from '../helpers/random.ts';
import { applyStored, applyUpdate, mergeStored } from '../../server/storage/stored-document.ts';

const [ANNA, BEN, CLAIMER] = [1, 2, 3];

/** Somebody's document, with what others have sent them. */
function docOf(clientID: number, ...updates: Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  for (const update of updates) Y.applyUpdate(doc, update);
  // Afterwards: Yjs takes another id when somebody else seems to have it.
  doc.clientID = clientID;
  return doc;
}

/** The update of typing at the end. */
function type(doc: Y.Doc, text: string): Uint8Array {
  const before = Y.encodeStateVector(doc);
  const content = doc.getText('content');
  content.insert(content.length, text);
  return Y.encodeStateAsUpdate(doc, before);
}

/** Anna types behind a word of Ben's, which is missing; in her name somebody has typed, or types, what overlaps that. */
function createHistory() {
  const ben = docOf(BEN);
  const missing = type(ben, 'Ben');
  const anna = docOf(ANNA);
  const first = type(anna, 'abc');
  Y.applyUpdate(anna, missing);
  const waiting = type(anna, 'defghi');
  const claimed = type(docOf(ANNA, first), 'XY');
  return { first, missing, waiting, claimed, other: type(docOf(CLAIMER), 'other') };
}

const contentOf = (doc: Y.Doc) => [doc.getText('content').toDelta() as unknown, Y.encodeStateVector(doc)];

function received(updates: Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  for (const update of updates) applyUpdate(doc, update);
  return doc;
}

const { first, missing, waiting, claimed, other } = createHistory();

test.each([
  ['known in part when it comes', [first, claimed, waiting, other]],
  ['known in part while it waits', [first, waiting, claimed, other]],
  ['known in part while it waits for more', [waiting, first, claimed, other]],
  ['and then comes what it waits for', [first, waiting, claimed, other, missing]],
  ['not known', [first, waiting, other]],
])('[S15] what waits, and is %s, gives everybody the same document', (_how, updates) => {
  const memory = received(updates);
  const tail = updates.map((update, index) => ({ id: `${index}`, update }));
  const loaded = new Y.Doc();
  applyStored(loaded, { snapshot: null, tail });
  const newcomer = received([Y.encodeStateAsUpdate(memory)]);
  const folded = new Y.Doc();
  const snapshot = mergeStored({ snapshot: null, tail });
  applyStored(folded, { snapshot, tail: [] });
  for (const doc of [loaded, newcomer, folded]) expect(contentOf(doc)).toEqual(contentOf(memory));
  // The providers of newcomers apply as Yjs does.
  const plain = new Y.Doc();
  Y.applyUpdate(plain, Y.encodeStateAsUpdate(memory));
  expect(contentOf(plain)).toEqual(contentOf(memory));
});

/** The updates of two people who type and delete, each on top of the other's, out of their order and some of them twice. */
function shuffledHistory(seed: number): { frames: Uint8Array[]; doc: Y.Doc } {
  const random = randomOf(seed);
  const pick = pickOf(random);
  const people = [docOf(ANNA), docOf(BEN)] as const;
  const frames: Uint8Array[] = [];
  for (let edit = 0; edit < 80; edit += 1) {
    const [author, reader] = pick(2) === 0 ? people : [people[1], people[0]];
    const text = author.getText('content');
    const before = Y.encodeStateVector(author);
    if (pick(4) === 0 && text.length > 1) text.delete(pick(text.length), 1);
    else text.insert(pick(text.length + 1), `${edit} `);
    const update = Y.encodeStateAsUpdate(author, before);
    Y.applyUpdate(reader, update);
    frames.splice(pick(frames.length + 1), 0, update);
    if (pick(5) === 0) frames.splice(pick(frames.length + 1), 0, update);
  }
  return { frames, doc: people[0] };
}

test('[S15] what has everything that it waited for waits no longer, whatever the order', () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const { frames, doc } = shuffledHistory(seed);
    const all = received(frames);
    expect([seed, all.store.pendingStructs, all.store.pendingDs]).toEqual([seed, null, null]);
    expect(contentOf(all)).toEqual(contentOf(doc));
  }
});
