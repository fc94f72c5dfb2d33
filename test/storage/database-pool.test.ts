import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Metrics } from '../../server/metrics.ts';
import { DocumentStore } from '../../server/storage/document-store.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { insertRows, openMigrated, openStorage, silent } from '../helpers/storage.ts';

/** Of the tests, instead of 15 s. */
const SILENCE_MS = 1_000;
/** Postgres sends them as text, in hexadecimal. */
const BYTES = 1_000_000;
const BYTES_PER_SECOND = 1_000_000;

/** A store over a line to a database that has a large document. */
async function startOver() {
  const { url } = await createDatabase();
  const database = await openMigrated({ databaseUrl: url });
  await insertRows(database, 'large', [randomBytes(BYTES)]);
  const proxy = await startProxy(url);
  const { queries } = await openStorage({ databaseUrl: proxy.url }, { silenceMs: SILENCE_MS });
  return { proxy, store: new DocumentStore(queries, silent, new Metrics()) };
}

test('[S17] a document is loaded over a thin line, however long it takes', async () => {
  const { proxy, store } = await startOver();
  proxy.slow({ bytesPerSecond: BYTES_PER_SECOND });
  const since = performance.now();
  expect((await store.read('large'))?.tail[0]?.update).toHaveLength(BYTES);
  expect(performance.now() - since).toBeGreaterThan(1.5 * SILENCE_MS);
});

test('[S17] a load over a line that falls silent in the middle is given up, and the next one gets another line', async () => {
  const { proxy, store } = await startOver();
  proxy.slow({ bytesPerSecond: BYTES_PER_SECOND });
  setTimeout(() => proxy.blackHole('down'), SILENCE_MS);
  await expect(store.read('large')).rejects.toThrow(`silent for ${SILENCE_MS} ms`);
  proxy.heal();
  expect((await store.read('large'))?.tail[0]?.update).toHaveLength(BYTES);
});
