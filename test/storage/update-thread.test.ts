import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { UpdateThread } from '../../server/storage/update-thread.ts';
import { atTestEnd } from '../helpers/cleanup.ts';

/** One client that writes a map many times: a document that takes long to merge. */
function manyRows(count: number) {
  const doc = new Y.Doc();
  const tail: { id: string; update: Uint8Array }[] = [];
  doc.on('update', (update: Uint8Array) => tail.push({ id: String(tail.length), update }));
  for (let row = 0; row < count; row += 1) doc.getMap('rows').set(`key ${row}`, row);
  return { doc, stored: { snapshot: null, tail } };
}

test('[S14] merging takes place beside the event loop, which goes on', async () => {
  const thread = new UpdateThread();
  atTestEnd(() => thread.close());
  const { doc, stored } = manyRows(20_000);
  await thread.merge({ snapshot: null, tail: [] });
  let turns = 0;
  const counting = setInterval(() => (turns += 1), 1);
  const state = await thread.merge(stored);
  clearInterval(counting);
  expect(turns).toBeGreaterThan(0);
  const copy = new Y.Doc();
  Y.applyUpdate(copy, state ?? new Uint8Array());
  expect(Y.equalSnapshots(Y.snapshot(copy), Y.snapshot(doc))).toBe(true);
});

test('[S14] several merges at once each get their own answer', async () => {
  const thread = new UpdateThread();
  atTestEnd(() => thread.close());
  const answers = await Promise.all([1, 2, 3].map((count) => thread.merge(manyRows(count).stored)));
  const sizes = answers.map((state) => {
    const copy = new Y.Doc();
    Y.applyUpdate(copy, state ?? new Uint8Array());
    return copy.getMap('rows').size;
  });
  expect(sizes).toEqual([1, 2, 3]);
});

test('[S14] a merge whose thread is ended fails, and the next one works', async () => {
  const thread = new UpdateThread();
  const lost = thread.merge(manyRows(20_000).stored);
  await thread.close();
  await expect(lost).rejects.toThrow('the thread ended');
  atTestEnd(() => thread.close());
  expect(await thread.merge(manyRows(1).stored)).not.toBeNull();
});
