import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Database } from '../../server/storage/database.ts';
import { SERVER_VERSION, compareVersions, migrate } from '../../server/storage/migrate.ts';
import { readiness } from '../helpers/readiness.ts';
import { createStorage, openMigrated, openStorage, silent } from '../helpers/storage.ts';
import { startServer } from '../helpers/server.ts';

async function appliedMigrations(database: Database): Promise<string[]> {
  const { rows } = await database.queries.query<{ name: string }>('select name from indelible.migrations');
  return rows.map(({ name }) => name);
}

test('[M1] instances that start at once on an empty database all come up, and migrate it once', async () => {
  const storage = await createStorage('postgres');
  const servers = await Promise.all(Array.from({ length: 4 }, () => startServer(storage)));
  for (const { url } of servers) expect(await readiness(url)).toMatchObject({ code: 200 });
  const applied = await appliedMigrations(await openStorage(storage));
  expect(applied).toEqual([...new Set(applied)]);
  expect(applied).toContain('001_documents');
});

test('[M1] migrating again applies nothing', async () => {
  const database = await openStorage(await createStorage('postgres'));
  expect(await migrate(database, silent)).toEqual([
    '001_documents',
    '002_revocations',
    '003_instances',
    '004_tombstones',
    '005_last_edit',
  ]);
  expect(await migrate(database, silent)).toEqual([]);
});

test('[M2] a schema that needs a newer server refuses, and is left as it is', async () => {
  const storage = await createStorage('postgres');
  const database = await openMigrated(storage);
  await database.queries.query(`update indelible.compatibility set oldest_server = '999.0.0'`);
  await database.queries.query(`delete from indelible.migrations`);
  await expect(startServer(storage)).rejects.toMatchObject({ code: 'schema_too_new' });
  expect(await appliedMigrations(database), 'it did not begin to migrate').toEqual([]);
});

test('[M2] a schema with migrations that this server does not know is used, as long as it allows it', async () => {
  const storage = await createStorage('postgres');
  const database = await openMigrated(storage);
  await database.queries.query(
    `insert into indelible.migrations (name, run_on) values ('999_from_the_future', now())`,
  );
  const { url } = await startServer(storage);
  expect(await readiness(url)).toMatchObject({ code: 200 });
});

test.each([
  ['0.1.0', '0.1.0', 0],
  ['0.1.0', '0.2.0', -1],
  ['0.10.0', '0.9.0', 1],
  ['1.0.0', '0.99.99', 1],
  ['1.0.1', '1.0.10', -1],
])('[M2] versions compare by number: %s and %s', (a, b, sign) => {
  expect(Math.sign(compareVersions(a, b))).toBe(sign);
});

test('[M3] the version that is compared is the one of package.json', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(SERVER_VERSION).toBe(manifest.version);
});
