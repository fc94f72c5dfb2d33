import { expect } from 'vitest';
import * as Y from 'yjs';
import { connectYWebsocket } from '../helpers/clients.ts';
import { type Storage, openStorage, rebuild } from '../helpers/storage.ts';
import { type Ledger, ROOTS, xmlOf } from './ledger.ts';
import type { Typist } from './typist.ts';

/** Fails if an acknowledged edit cannot be rebuilt from the database alone. The embedded one must have no server. */
export async function nothingIsLost(ledger: Ledger, storage: Storage, documents: string[]): Promise<void> {
  const database = await openStorage(storage);
  for (const document of documents) {
    const lost = ledger.lostIn(document, await rebuild(database, document));
    expect(lost, `acknowledged edits that are not in the database, in ${document}`).toEqual([]);
  }
  await database.close();
}

/**
 * Fails unless, once everybody is served again, every edit is acknowledged, and everybody who has a document, a newcomer over
 * the wire and the database alone have the same: all of it, and nothing that waits.
 * @param stop - stops the server; the embedded database has room for one
 */
export async function allIsWell(options: {
  ledger: Ledger;
  typists: readonly Typist[];
  url: string;
  storage: Storage;
  stop: () => Promise<unknown>;
}): Promise<void> {
  const { ledger, typists, url, storage, stop } = options;
  await Promise.all(typists.map((typist) => typist.settled(60_000)));
  expect(ledger.waiting).toBe(0);
  const documents = [...new Set(typists.map(({ document }) => document))];
  const replicas = new Map<string, Y.Doc[]>();
  for (const document of documents) {
    const newcomer = connectYWebsocket(url, encodeURIComponent(document));
    await newcomer.synced();
    const people = typists.filter((typist) => typist.document === document).map(({ doc }) => doc);
    for (const doc of people) {
      await expect.poll(() => isSame(doc, newcomer.doc), { timeout: 20_000 }).toBe(true);
    }
    replicas.set(document, [newcomer.doc, ...people]);
    newcomer.destroy();
  }
  for (const typist of typists) typist.leave();
  await stop();
  const database = await openStorage(storage);
  for (const [document, docs] of replicas) {
    const stored = await rebuild(database, document);
    for (const doc of [stored, ...docs]) {
      expect(ledger.lostIn(document, doc)).toEqual([]);
      expect(doc?.store.pendingStructs ?? doc?.store.pendingDs, `what waits in ${document}`).toBeNull();
      expect(doc !== null && isSame(doc, docs[0] as Y.Doc), `replicas of ${document} agree`).toBe(true);
    }
  }
  await database.close();
}

/** Whether two documents have the same state vector, deletions and content. */
function isSame(one: Y.Doc, other: Y.Doc): boolean {
  return (
    Y.equalSnapshots(Y.snapshot(one), Y.snapshot(other)) &&
    JSON.stringify(one.getArray(ROOTS.list).toJSON()) ===
      JSON.stringify(other.getArray(ROOTS.list).toJSON()) &&
    JSON.stringify(one.getText(ROOTS.text).toDelta()) ===
      JSON.stringify(other.getText(ROOTS.text).toDelta()) &&
    JSON.stringify(sorted(one.getMap(ROOTS.map).toJSON())) ===
      JSON.stringify(sorted(other.getMap(ROOTS.map).toJSON())) &&
    xmlOf(one) === xmlOf(other)
  );
}

function sorted(record: Record<string, unknown>): [string, unknown][] {
  return Object.entries(record).toSorted(([one], [other]) => (one < other ? -1 : 1));
}
