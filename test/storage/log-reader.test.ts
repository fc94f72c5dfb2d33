import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { Metrics } from '../../server/metrics.ts';
import { checksumOf } from '../../server/storage/checksum.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { InstanceRegistry } from '../../server/storage/instance-registry.ts';
import { LogReader, type CommittedUpdate } from '../../server/storage/log-reader.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { typist } from '../helpers/editor.ts';
import { createStorage, insertRows, openMigrated, silent } from '../helpers/storage.ts';

async function openLog() {
  const database = await openMigrated(await createStorage('postgres'));
  const registry = new InstanceRegistry(database.queries, 'this');
  return { database, registry, reader: new LogReader(database.queries) };
}

/** What comes of updates, in whichever order. */
function textOf(updates: readonly CommittedUpdate[]): string {
  const doc = new Y.Doc();
  for (const { update } of updates) Y.applyUpdate(doc, update);
  return doc.getText('content').toString();
}

test('[N7] what was committed since a place is read, of the documents that are asked for', async () => {
  const { database, registry, reader } = await openLog();
  const type = typist();
  await insertRows(database, 'one', [type('before ')]);
  const { place } = await registry.beat();
  const [after] = [type('after')];
  await insertRows(database, 'one', [after]);
  await insertRows(database, 'other', [typist(2)('elsewhere')]);
  const { updates } = await reader.read(['one', 'not stored'], place);
  // Another transaction, in any database of the server, may be running since before, and holds the place back.
  expect(updates).toContainEqual({ document: 'one', update: Buffer.from(after) });
  expect(updates.map(({ document }) => document)).not.toContain('other');
});

test('[N7] of two transactions the one that began first, and has lower ids, may commit last', async () => {
  const { database, reader, registry } = await openLog();
  const [early, late] = [typist(1)('early'), typist(2)('late')];
  await insertRows(database, 'notes', [typist(3)('')]);
  const { place } = await registry.beat();
  const { reached, goOn } = { reached: Promise.withResolvers<void>(), goOn: Promise.withResolvers<void>() };
  const slow = database.queries.transaction(async (connection) => {
    await connection.query(
      `insert into indelible.updates (document, created_at, checksum, update)
         select id, now(), $1, $2 from indelible.documents where name = 'notes'`,
      [checksumOf(early), early],
    );
    reached.resolve();
    await goOn.promise;
  });
  await reached.promise;
  await insertRows(database, 'notes', [late]);
  const first = await reader.read(['notes'], place);
  const read = first.updates.map(({ update }) => update);
  expect(read).toContainEqual(Buffer.from(late));
  expect(read).not.toContainEqual(Buffer.from(early));
  goOn.resolve();
  await slow;
  const second = await reader.read(['notes'], first.place);
  expect(second.updates.map(({ update }) => update)).toContainEqual(Buffer.from(early));
});

test('[N7] what was folded between two readings comes with the snapshot', async () => {
  const { database, reader, registry } = await openLog();
  const type = typist();
  const { place } = await registry.beat();
  await insertRows(database, 'notes', [type('folded '), type('away')]);
  const store = new DocumentStore(database.queries, silent, new Metrics());
  atTestEnd(() => store.close());
  expect(await store.fold('notes')).toMatchObject({ kind: 'folded' });
  const { updates } = await reader.read(['notes'], place);
  expect(textOf(updates)).toBe('folded away');
});

test('[N7] rows that are damaged or set aside are passed over', async () => {
  const { database, reader, registry } = await openLog();
  const { place } = await registry.beat();
  const ids = await insertRows(database, 'notes', [typist(1)('a'), typist(2)('b'), typist(3)('c')]);
  const { queries } = database;
  await queries.query('update indelible.updates set checksum = checksum + 1 where id = $1', [ids[0]]);
  await queries.query(`update indelible.updates set quarantined = 'operator' where id = $1`, [ids[1]]);
  expect(textOf((await reader.read(['notes'], place)).updates)).toBe('c');
});

test('[N7] instances know of each other by the database, until they leave or fall silent', async () => {
  const { database, registry } = await openLog();
  const other = new InstanceRegistry(database.queries, 'other');
  expect((await registry.beat()).names).toEqual([]);
  expect((await other.beat()).names).toEqual(['this']);
  expect((await registry.beat()).names).toEqual(['other']);
  await other.leave();
  expect((await registry.beat()).names).toEqual([]);
  await other.beat();
  await database.queries.query(
    `update indelible.instances set seen_at = now() - interval '16 seconds' where name = 'other'`,
  );
  expect((await registry.beat()).names).toEqual([]);
});
