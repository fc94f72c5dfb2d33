import { expect, test, vi } from 'vitest';
import { Metrics } from '../../server/metrics.ts';
import { DatabasePool } from '../../server/storage/database-pool.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { History } from '../../server/storage/history.ts';
import { UpdateThread } from '../../server/storage/update-thread.ts';
import { mergeStored } from '../../server/storage/stored-document.ts';
import { Replicas } from '../faults/replicas.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { textOf, typist } from '../helpers/editor.ts';
import { insertRows, openMigrated, rebuild, silent } from '../helpers/storage.ts';

/** More than Postgres takes of a sequence at once, which the standby hears of. */
const ROWS = 50;

/** A primary that its standby hears nothing more of, and a database that is opened by their address. */
async function startCut() {
  const replicas = await Replicas.start({ isSynchronous: false });
  const database = await openMigrated({ databaseUrl: replicas.address.url });
  await expect.poll(() => replicas.lag()).toBe(0);
  replicas.line.blackHole();
  return { replicas, database };
}

const words = (word: string) => Array.from({ length: ROWS }, (_, edit) => `${word}${edit} `);

async function portOf(pool: DatabasePool) {
  const { rows } = await pool.query<{ port: number }>('select inet_server_port() as port');
  return rows[0]?.port;
}

test('[S16] what was the primary before is not followed, and another cluster is', () => {
  const history = new History();
  const replaced = vi.fn<() => void>();
  history.onReplaced(replaced);
  for (const timeline of ['1/00000009', '1/00000009']) history.follow(timeline);
  expect(replaced).not.toHaveBeenCalled();
  history.follow('1/0000000A');
  expect(replaced).toHaveBeenCalledTimes(1);
  expect(() => history.follow('1/00000009')).toThrow('is not used any more');
  expect(history.isPresent('1/0000000A')).toBe(true);
  history.follow('2/00000001');
  expect(replaced).toHaveBeenCalledTimes(2);
  expect(history.isPresent('1/0000000A')).toBe(false);
});

test('[S16] a fold that has read its rows before a failover deletes none that have their ids after it', async () => {
  const { replicas, database } = await startCut();
  const before = await insertRows(database, 'folded', words('before').map(typist(1)));
  const after: string[] = [];
  const merge = vi.spyOn(UpdateThread.prototype, 'merge').mockImplementation(async (stored) => {
    await replicas.killPrimary();
    await replicas.promote();
    replicas.moveAddress();
    after.push(...(await insertRows(database, 'folded', words('after').map(typist(2)))));
    return mergeStored(stored);
  });
  atTestEnd(() => merge.mockRestore());
  const store = new DocumentStore(database.queries, silent, new Metrics());
  expect(await store.fold('folded')).toEqual({ kind: 'nothing' });
  expect(after.filter((id) => before.includes(id))).not.toEqual([]);
  const stored = await rebuild(database, 'folded');
  expect(stored && textOf(stored)).toBe(words('after').join(''));
});

test('[S16] once a connection leads to a standby that was promoted, those to what was the primary are used no more, and nothing counts that is read there', async () => {
  const { replicas, database } = await startCut();
  const { queries, committer, history } = database;
  const replaced = vi.fn<() => void>();
  history.onReplaced(replaced);
  const old = replicas.primary.port;
  expect(await Promise.all([portOf(queries), portOf(queries)])).toEqual([old, old]);
  // On one of them, while the other is idle.
  const failover = Promise.withResolvers<void>();
  const reading = queries.use(async (connection) => {
    await failover.promise;
    return connection.query('select 1');
  });
  await replicas.promote();
  replicas.address.retarget(replicas.primary.url);
  expect(replaced).not.toHaveBeenCalled();
  expect(await portOf(committer.pool)).toBe(replicas.primary.port);
  expect(replaced).toHaveBeenCalledTimes(1);
  expect(await portOf(queries)).toBe(replicas.primary.port);
  failover.resolve();
  await expect(reading).rejects.toThrow('a standby has taken the place of the database');
  expect(replaced).toHaveBeenCalledTimes(1);
});

test('[S16] nothing is read from a standby', async () => {
  const { replicas } = await startCut();
  const history = new History();
  const pool = new DatabasePool(
    { connectionString: replicas.standby.url },
    { session: '', silenceMs: 5_000, history, log: silent },
  );
  atTestEnd(() => pool.close());
  await expect(pool.query('select 1')).rejects.toThrow('recovery is in progress');
  await replicas.promote();
  expect((await pool.query('select 1')).rowCount).toBe(1);
});
