import { expect } from 'vitest';
import * as Y from 'yjs';
import type { Database } from '../../server/storage/database.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { type Memory, heldSince, memoryOf } from '../helpers/memory.ts';
import type { ServerProcess } from '../helpers/server.ts';
import { type Storage, openStorage, rebuild } from '../helpers/storage.ts';
import { keepEvidence } from './evidence.ts';
import { type Ledger, ROOTS, xmlOf } from './ledger.ts';
import type { Typist } from './typist.ts';

/** What the database alone has of documents. */
interface Stored {
  /** In words, what was acknowledged and is not there. */
  lost: string[];
  /** Elements that are there, though no ack of them has arrived. */
  unacked: string[];
}

const THE_DATABASE = 'the database';

/** Reads documents from the database alone. The embedded one must have no server. */
export async function readStored(ledger: Ledger, storage: Storage, documents: string[]): Promise<Stored> {
  const database = await openStorage(storage);
  const stored: Stored = { lost: [], unacked: [] };
  for (const document of documents) {
    const doc = await rebuild(database, document);
    const lost = [...ledger.lostIn(document, doc), ...(await setAside(database, document))];
    await keepEvidence(database, ledger, { document, copy: THE_DATABASE, doc, lost });
    stored.lost.push(...lost.map((what) => `${what} in ${document}`));
    stored.unacked.push(...ledger.unackedIn(document, doc));
  }
  await database.close();
  return stored;
}

/** The rows of a document that could not be read: others may have brought what they hold, and hide that it was lost. */
async function setAside({ queries }: Database, document: string): Promise<string[]> {
  const { rows } = await queries.query<{ id: string; why: string }>(
    `select u.id, u.quarantined as why from indelible.updates u join indelible.documents d on d.id = u.document
       where d.name = $1 and u.quarantined is not null`,
    [document],
  );
  return rows.map(({ id, why }) => `row ${id}, set aside (${why})`);
}

/** Fails if an acknowledged edit cannot be rebuilt from the database alone. The embedded one must have no server. */
export async function nothingIsLost(ledger: Ledger, storage: Storage, documents: string[]): Promise<void> {
  const { lost } = await readStored(ledger, storage, documents);
  expect(lost, 'acknowledged edits that are not in the database').toEqual([]);
}

/** Fails unless within this time all who are in a document have the same of it. */
export async function peopleAgree(typists: readonly Typist[], deadlineMs: number): Promise<void> {
  const differing = () =>
    typists.flatMap(({ document, doc }) => {
      const first = typists.find((typist) => typist.document === document);
      return first !== undefined && isSame(doc, first.doc) ? [] : [document];
    });
  await expect
    .poll(differing, { message: 'documents of which people differ', timeout: deadlineMs })
    .toEqual([]);
}

/** A document as people have it. */
interface Copies {
  /** Each at one of the servers. */
  readonly newcomers: readonly Y.Doc[];
  /** Who was there before. */
  readonly people: readonly Y.Doc[];
}

/**
 * Fails unless every edit is acknowledged now that everybody is served again, and newcomers over the wire, one at each of the
 * servers, have what everybody has who is there.
 * @returns every document, in each of its copies
 */
export async function allAgree(
  ledger: Ledger,
  typists: readonly Typist[],
  urls: readonly string[],
): Promise<Map<string, Copies>> {
  await Promise.all(typists.map((typist) => typist.settled(60_000)));
  expect(ledger.waiting).toBe(0);
  const copies = new Map<string, Copies>();
  for (const document of new Set(typists.map((typist) => typist.document))) {
    const clients = urls.map((url) => connectYWebsocket(url, encodeURIComponent(document)));
    await Promise.all(clients.map((client) => client.synced()));
    const newcomers = clients.map(({ doc }) => doc);
    const people = typists.filter((typist) => typist.document === document).map(({ doc }) => doc);
    for (const doc of people) {
      for (const newcomer of newcomers)
        await expect.poll(() => isSame(doc, newcomer), { timeout: 20_000 }).toBe(true);
    }
    copies.set(document, { newcomers, people });
    for (const client of clients) client.destroy();
  }
  return copies;
}

/**
 * Fails unless the database alone gives what all copies of each document hold: all that was acknowledged, and nothing that
 * waits, but for edits of those who are gone and never brought what was before them.
 * @returns the acknowledged elements that wait for such edits
 */
export async function isAllStored(
  ledger: Ledger,
  copies: Map<string, Copies>,
  storage: Storage,
  gone: ReadonlySet<number>,
): Promise<string[]> {
  const database = await openStorage(storage);
  const waiting: string[] = [];
  for (const [document, { newcomers, people }] of copies) {
    const stored = await rebuild(database, document);
    waiting.push(...ledger.waitingIn(document, stored));
    const told = newcomers.map((doc, place) => [`a newcomer at server ${place}`, doc] as const);
    for (const [copy, doc] of [[THE_DATABASE, stored] as const, ...told]) {
      const lost = ledger.lostIn(document, doc);
      await keepEvidence(database, ledger, { document, copy, doc, lost });
      expect(lost, `lost in ${document}, as ${copy} has it`).toEqual([]);
    }
    // What was acknowledged and waits is not told to who was there before it came: of those, what is shown is compared.
    for (const doc of [stored, ...newcomers, ...people]) {
      expect(
        [...missingIn(doc)].filter((client) => !gone.has(client)),
        `what waits in ${document}`,
      ).toEqual([]);
      const agrees = doc !== null && newcomers.every((newcomer) => isSame(doc, newcomer));
      expect(agrees, `copies of ${document} agree`).toBe(true);
    }
  }
  await database.close();
  return waiting;
}

/** The clients of whom something is missing that others of a document's edits, which wait, build on. */
function missingIn(doc: Y.Doc | null): Set<number> {
  const { pendingStructs, pendingDs } = doc?.store ?? {};
  const deleted = pendingDs ? [...Y.decodeUpdateV2(pendingDs).ds.clients.keys()] : [];
  return new Set([...(pendingStructs?.missing.keys() ?? []), ...deleted]);
}

/** What a fault may leave in the heap and in buffers. */
const MEMORY_SLACK = 50 * 1024 * 1024;

/**
 * Fails if a server goes on holding more than before the fault when it has collected its garbage. It is asked again, since V8 gives
 * buffers back beside its work, later on a busy machine.
 */
export async function hasNoMoreMemory(before: Memory, server: ServerProcess): Promise<void> {
  const held = async () => heldSince(before, await memoryOf(server));
  await expect
    .poll(held, { message: 'memory that a server keeps', timeout: 10_000, interval: 500 })
    .toBeLessThan(MEMORY_SLACK);
}

/** Fails unless a server that is told to stop has committed everything. */
export async function endsWell(server: ServerProcess): Promise<void> {
  expect(await server.kill('SIGTERM', 30_000)).toEqual({ code: 0, signal: null });
}

/** Fails if a server has printed an exception or a rejection that nobody handled, which ends it. */
export function isSilent(server: ServerProcess): void {
  expect(server.stderr.join('\n'), 'what a server has printed').toBe('');
}

/** Whether two documents have the same state vector, deletions and content. */
export function isSame(one: Y.Doc, other: Y.Doc): boolean {
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
