import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { EmbeddedThread } from '../../server/storage/embedded-thread.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { queryOnce } from '../helpers/postgres.ts';
import { createStorage } from '../helpers/storage.ts';

const PORT = 5432;
const WORKER = new URL('../../server/storage/embedded-worker.ts', import.meta.url);

/** A running database whose threads a test can end; stopped at the end of the test. */
async function startThread() {
  const storage = await createStorage('embedded');
  const directory = 'dataDir' in storage ? storage.dataDir : '';
  const workers: Worker[] = [];
  const { promise: restarted, resolve } = Promise.withResolvers<unknown>();
  const thread = new EmbeddedThread(
    join(directory, 'pglite'),
    join(directory, `.s.PGSQL.${PORT}`),
    resolve,
    (workerData) => {
      const worker = new Worker(WORKER, { workerData });
      workers.push(worker);
      return worker;
    },
  );
  await thread.start();
  atTestEnd(() => thread.stop());
  return { thread, workers, restarted, directory };
}

test('[S12] an embedded database that ends by itself is started again, with everything that it had committed', async () => {
  const { workers, restarted, directory } = await startThread();
  await query(directory, 'create table kept as select 42 as answer');

  await workers[0]?.terminate();
  expect(await restarted).toBeInstanceOf(Error);
  await expect
    .poll(() => query(directory, 'select answer from kept').catch(() => null), { timeout: 60_000 })
    .toEqual([{ answer: 42 }]);
  expect(workers).toHaveLength(2);
}, 120_000);

test('[S12] one that ended by itself can be stopped before it is started again', async () => {
  const { thread, workers } = await startThread();
  await workers[0]?.terminate();
  await thread.stop();
  expect(workers).toHaveLength(1);
});

function query(directory: string, sql: string) {
  return queryOnce({ host: directory, port: PORT, user: 'postgres', database: 'postgres' }, sql);
}
