import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import * as Y from 'yjs';
import { Metrics } from '../../server/metrics.ts';
import { checksumOf } from '../../server/storage/checksum.ts';
import { type Database, type DatabaseOptions, openDatabase } from '../../server/storage/database.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { migrate } from '../../server/storage/migrate.ts';
import { applyStored } from '../../server/storage/stored-document.ts';
import { atTestEnd } from './cleanup.ts';
import { createDatabase } from './postgres.ts';

/** Where a server under test keeps its documents. */
export type Storage = { databaseUrl: string } | { dataDir: string };

/** Both kinds, for tests that must hold on each. */
export const STORAGE_KINDS = ['postgres', 'embedded'] as const;
export type StorageKind = (typeof STORAGE_KINDS)[number];

/** A fresh, empty one; removed at the end of the test. */
export async function createStorage(kind: StorageKind): Promise<Storage> {
  if (kind === 'postgres') return { databaseUrl: (await createDatabase()).url };
  const dataDir = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(dataDir, { recursive: true, force: true }));
  return { dataDir };
}

/** The settings of a server process that uses it. */
export function environmentOf(storage: Storage): Record<string, string> {
  return 'dataDir' in storage ? { DATA_DIR: storage.dataDir } : { DATABASE_URL: storage.databaseUrl };
}

/** A log that nobody reads. */
export const silent = pino({ level: 'silent' });

/** Opened as the server opens it, maybe with less patience; closed at the end of the test. */
export async function openStorage(
  storage: Storage,
  { silenceMs }: Pick<DatabaseOptions, 'silenceMs'> = {},
): Promise<Database> {
  const database = await openDatabase({
    url: 'databaseUrl' in storage ? storage.databaseUrl : undefined,
    dataDir: 'dataDir' in storage ? storage.dataDir : '',
    connections: 4,
    silenceMs,
    log: silent,
  });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= database.close());
  atTestEnd(close);
  return { ...database, close };
}

/** As {@link openStorage}, with the schema of this server in it. */
export async function openMigrated(
  storage: Storage,
  options?: Pick<DatabaseOptions, 'silenceMs'>,
): Promise<Database> {
  const database = await openStorage(storage, options);
  await migrate(database, silent);
  return database;
}

/** Puts updates into the log of a document as rows, past the update log. */
export async function insertRows(
  { queries }: Database,
  name: string,
  updates: Uint8Array[],
  author: string | null = null,
): Promise<string[]> {
  await queries.query('insert into indelible.documents (name) values ($1) on conflict do nothing', [name]);
  const ids: string[] = [];
  for (const update of updates) {
    const { rows } = await queries.query<{ id: string }>(
      `insert into indelible.updates (document, author, created_at, checksum, update)
         select id, $2, now(), $3, $4 from indelible.documents where name = $1 returning id`,
      [name, author, checksumOf(update), update],
    );
    ids.push(rows[0]?.id ?? '');
  }
  return ids;
}

/** A document rebuilt from the database alone; `null` when it is not there. */
export async function rebuild(database: Database, name: string): Promise<Y.Doc | null> {
  const store = new DocumentStore(database.queries, silent, new Metrics());
  const stored = await store.read(name);
  if (stored === null) return null;
  const doc = new Y.Doc();
  applyStored(doc, stored);
  return doc;
}
