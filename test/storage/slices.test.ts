import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { slicesOf } from '../../server/storage/slices.ts';
import { LongTransaction } from '../../server/storage/long-transaction.ts';
import { applyUpdates } from '../../server/storage/stored-document.ts';
import { historyOf, standing } from '../helpers/histories.ts';

function filled(updates: Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  for (const update of updates) applyUpdates(doc, [update]);
  return doc;
}

const SEEDS = Array.from({ length: 40 }, (_, seed) => seed);

test('[S18] the slices of an update give what the update gives, and none builds on one after it', () => {
  let count = 0;
  for (const seed of SEEDS) {
    const state = Y.mergeUpdates(historyOf(seed));
    const slices = slicesOf(state, { structs: 1 + (seed % 20), length: 100 });
    count += slices.length;
    const doc = new Y.Doc();
    for (const slice of slices) {
      applyUpdates(doc, [slice]);
      expect(doc.store.pendingStructs, `seed ${seed}`).toBeNull();
    }
    expect(standing(doc), `seed ${seed}`).toEqual(standing(filled([state])));
  }
  expect(count).toBeGreaterThan(SEEDS.length * 10);
});

test('[S18] also of one in which edits wait for missing ones, and of one that only adds to what there is', () => {
  let waiting = 0;
  for (const seed of SEEDS) {
    const history = historyOf(seed);
    const lacks = history.filter((_, index) => (index + seed) % 40 !== 0);
    const state = Y.mergeUpdates(lacks);
    const whole = filled([state]);
    expect(standing(filled(slicesOf(state, { structs: 5, length: 100 }))), `seed ${seed}`).toEqual(
      standing(whole),
    );
    if (whole.store.pendingStructs !== null) waiting += 1;
    const [first, second] = [history.slice(0, 60), history.slice(60)].map((part) => Y.mergeUpdates(part));
    const added = filled([
      first as Uint8Array,
      ...slicesOf(second as Uint8Array, { structs: 5, length: 100 }),
    ]);
    expect(standing(added), `seed ${seed}`).toEqual(standing(filled(history)));
  }
  expect(waiting).toBeGreaterThan(SEEDS.length / 2);
});

test('[S18] an update that is small is its only slice, and one that is none cannot be sliced', () => {
  const update = Y.mergeUpdates(historyOf(1).slice(0, 10));
  expect(slicesOf(update)).toEqual([update]);
  expect(() => slicesOf(update.subarray(0, update.byteLength / 2))).toThrow(/end|length|Unexpected|Integer/i);
});

test('[S18] one transaction of many turns leaves what one of a single turn does, put together as well', () => {
  for (const seed of SEEDS) {
    const history = historyOf(seed);
    const atOnce = new Y.Doc();
    applyUpdates(atOnce, history);
    const doc = new Y.Doc();
    const heard: Uint8Array[] = [];
    doc.on('update', (update: Uint8Array) => heard.push(update));
    const transaction = new LongTransaction(doc);
    let turns = 0;
    for (let next = 0; next < history.length; turns += 1) next = transaction.apply(history, next, 0);
    expect(heard).toEqual([]);
    transaction.end();
    expect(turns).toBe(history.length);
    expect(heard).toHaveLength(1);
    expect(standing(doc), `seed ${seed}`).toEqual(standing(atOnce));
    expect(structsOf(doc), `seed ${seed}`).toEqual(structsOf(atOnce));
    // It is a document like any other.
    const changed = Y.encodeStateVector(doc);
    doc.getText('content').insert(0, 'more');
    expect(heard).toHaveLength(2);
    expect(Y.encodeStateVector(doc)).not.toEqual(changed);
  }
});

function structsOf({ store }: Y.Doc): [client: number, structs: number][] {
  return [...store.clients].map(([client, structs]) => [client, structs.length]);
}
