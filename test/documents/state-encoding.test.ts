import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { encodeState } from '../../server/documents/state-encoding.ts';
import { historyOf, standing } from '../helpers/histories.ts';
import { pickOf, randomOf } from '../helpers/random.ts';

const SEEDS = Array.from({ length: 40 }, (_, seed) => seed);

function docOf(updates: readonly Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  for (const update of updates) Y.applyUpdate(doc, update);
  return doc;
}

test('[Q10] in many turns a document is encoded to what it is in one, for whatever somebody has', async () => {
  for (const seed of SEEDS) {
    const history = historyOf(seed);
    const [doc, theirs] = [docOf(history), docOf(history.slice(0, seed * 3))];
    const stateVector = Y.encodeStateVector(theirs);
    const pieces = await encodeState(doc, stateVector, 0);
    expect(Buffer.concat(pieces), `seed ${seed}`).toEqual(
      Buffer.from(Y.encodeStateAsUpdate(doc, stateVector)),
    );
  }
});

test('[Q10] what changes meanwhile, and is sent beside it, gives the document with it', async () => {
  let changed = 0;
  for (const seed of SEEDS) {
    const pick = pickOf(randomOf(seed));
    const history = historyOf(seed);
    const half = history.slice(0, 75);
    const doc = docOf(half);
    const theirs = docOf(half.slice(0, pick(75)));
    const sent: Uint8Array[] = [];
    doc.on('update', (update: Uint8Array) => sent.push(update));
    const encoded = encodeState(doc, Y.encodeStateVector(theirs), 0);
    const isEncoded = encoded.then(() => true);
    const left = history.slice(75);
    do for (const update of left.splice(0, pick(3))) Y.applyUpdate(doc, update);
    while (!(await Promise.race([isEncoded, nextTurn(false)])));
    const answer = Buffer.concat(await encoded);
    // What was sent meanwhile comes first.
    for (const update of [...sent, answer]) Y.applyUpdate(theirs, update);
    expect(standing(theirs), `seed ${seed}`).toEqual(standing(doc));
    changed += sent.length;
  }
  expect(changed).toBeGreaterThan(SEEDS.length * 10);
});

test('[Q10] what waits for missing edits is in it', async () => {
  const history = historyOf(1);
  const doc = docOf(history.filter((_, index) => index !== 20));
  expect(doc.store.pendingStructs).not.toBeNull();
  const [whole] = await encodeState(doc, Y.encodeStateVector(new Y.Doc()), 0);
  expect(standing(docOf([whole as Uint8Array]))).toEqual(standing(doc));
});
