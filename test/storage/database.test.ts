import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { openDatabase } from '../../server/storage/database.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { spawnServer } from '../helpers/server.ts';
import { startNode } from '../helpers/processes.ts';
import { rawYWebsocket } from '../helpers/raw-client.ts';
import { readiness } from '../helpers/readiness.ts';
import { createStorage, environmentOf, openStorage } from '../helpers/storage.ts';

async function settingOf(database: Awaited<ReturnType<typeof openStorage>>, name: string): Promise<unknown> {
  const { rows } = await database.queries.query<{ value: string }>('select current_setting($1) as value', [
    name,
  ]);
  return rows[0]?.value;
}

test('[L3] synchronous_commit is on and statement_timeout off, whatever the role, the database and the server say', async () => {
  const cluster = await startPostgres({ settings: { synchronous_commit: 'off', statement_timeout: '1s' } });
  const before = await openStorage({ databaseUrl: cluster.url });
  await before.queries.query(`alter role current_user set synchronous_commit = off`);
  await before.queries.query(`alter role current_user set statement_timeout = '2s'`);
  await before.queries.query(
    `alter database ${new URL(cluster.url).pathname.slice(1)} set synchronous_commit = off`,
  );

  const database = await openStorage({ databaseUrl: cluster.url });
  for (const pool of [database.committer.pool, database.queries]) {
    const { rows } = await pool.query(
      `select current_setting('synchronous_commit') as commit, current_setting('statement_timeout') as timeout`,
    );
    expect(rows).toEqual([{ commit: 'on', timeout: '0' }]);
  }
});

test('[L7] a server with fsync off is warned about, loudly', async () => {
  const cluster = await startPostgres({ settings: { fsync: 'off', full_page_writes: 'off' } });
  const lines: { level: number; msg: string }[] = [];
  const log = pino(
    {},
    { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  const database = await openDatabase({ url: cluster.url, dataDir: '', connections: 1, log });
  await database.close();
  const loud = lines.filter(({ level }) => level >= 50).map(({ msg }) => msg);
  expect(loud).toEqual([
    expect.stringContaining('fsync is OFF'),
    expect.stringContaining('full_page_writes is OFF'),
  ]);
});

test('[L7] a server that does not say which timeline it writes is warned about, and used', async () => {
  const cluster = await startPostgres();
  const { queries } = await openStorage({ databaseUrl: cluster.url });
  await queries.query(`create role app login password 'app'`);
  await queries.query('revoke execute on function pg_current_wal_insert_lsn() from public');
  const url = Object.assign(new URL(cluster.url), { username: 'app', password: 'app' }).href;
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const database = await openDatabase({ url, dataDir: '', connections: 1, log });
  atTestEnd(() => database.close());
  expect(lines).toEqual([expect.stringContaining('does not say which timeline it writes')]);
  expect(await settingOf(database, 'synchronous_commit')).toBe('on');
});

test('[L7] [S9] the embedded database needs no warning: it syncs every commit to disk', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const storage = await createStorage('embedded');
  const dataDir = 'dataDir' in storage ? storage.dataDir : '';
  const database = await openDatabase({ url: undefined, dataDir, connections: 1, log });
  atTestEnd(() => database.close());
  expect(lines).toEqual([]);
  expect(await settingOf(database, 'fsync')).toBe('on');
  expect(await settingOf(database, 'synchronous_commit')).toBe('on');
  expect(await settingOf(database, 'wal_sync_method'), 'fdatasync does nothing in WebAssembly').toBe('fsync');
});

test('[S9] each commit of the embedded database is synced to disk', async () => {
  const preload = new URL('../helpers/count-fsyncs.ts', import.meta.url).href;
  const server = await spawnServer(await createStorage('embedded'), { NODE_OPTIONS: `--import=${preload}` });
  const syncs = () => server.stderr.filter((line) => line === 'fsync').length;
  const client = await rawYWebsocket(`${server.url}/fsync?acks=1`);
  const doc = new Y.Doc();
  doc.on('update', (update: Uint8Array) => client.send({ type: 'update', update }));
  for (let edit = 0; edit < 5; edit += 1) {
    const before = syncs();
    doc.getArray('edits').push([edit]);
    expect(await client.next('sync-status')).toMatchObject({ saved: true });
    // The line may come after the ack: they take different ways to this process.
    await vi.waitFor(() => expect(syncs()).toBeGreaterThan(before));
  }
});

test('[S8] a second server on the same directory is refused, in this process and in another', async () => {
  const storage = await createStorage('embedded');
  await openStorage(storage);
  await expect(openStorage(storage)).rejects.toMatchObject({ code: 'data_dir_locked' });
  const other = await startNode(['server/main.ts', 'serve'], {
    env: { ...environmentOf(storage), PORT: '0' },
  });
  expect((await other.exited).code).toBe(1);
  expect(other.stderr.join('\n')).toContain('another process uses DATA_DIR');
});

test('[S8] a process that was killed leaves nothing in the way of the next', async () => {
  const storage = await createStorage('embedded');
  const first = await spawnServer(storage);
  await first.kill('SIGKILL');
  const second = await spawnServer(storage);
  expect(await readiness(second.url)).toMatchObject({ code: 200 });
});

test('[S8] a directory with a long path works', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const dataDir = join(directory, 'a-very-long-name-'.repeat(7), 'data');
  await mkdir(join(dataDir, '..'), { recursive: true });
  const database = await openStorage({ dataDir });
  expect((await database.queries.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});

test('[S8] a directory may be given relative to where the server is started, as the default is', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(cwd, { recursive: true, force: true }));
  const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
  const server = await startNode([main, 'serve'], { cwd, env: { PORT: '0' } });
  await server.line(/Indelible is ready/, 30_000);
  expect(await readdir(join(cwd, 'data'))).toContain('lock');
});
