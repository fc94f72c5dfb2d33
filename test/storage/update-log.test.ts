import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { Metrics } from '../../server/metrics.ts';
import { Committer } from '../../server/storage/committer.ts';
import type { DatabasePool } from '../../server/storage/database-pool.ts';
import { UpdateLog } from '../../server/storage/update-log.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { createDatabase, startPostgres } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { createStorage, openMigrated, openStorage, silent } from '../helpers/storage.ts';

const LIMITS = { limitBytes: 64 * 1024 * 1024 };
const EVENTS = { committed: () => {}, refused: () => {}, repeated: () => {}, full: () => {} };
const MINUTE_MS = 60_000;
/** Of the tests, instead of 15 s. */
const STATEMENT_MS = 500;

interface Line {
  level: number;
  err: { message: string };
  failures: number;
}

/** An update log on a database whose statements all fail, at once, with what `errors` has for them. */
function startFailing(errors: (attempt: number) => Error) {
  const lines: Line[] = [];
  let attempts = 0;
  const fail = () => Promise.reject(errors((attempts += 1)));
  const told = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const pool = { use: fail } as unknown as DatabasePool;
  const log = new UpdateLog(new Committer(pool, { ms: STATEMENT_MS, url: undefined, log: told }), {
    ...LIMITS,
    events: EVENTS,
    log: told,
    metrics: new Metrics(),
  });
  atTestEnd(() => log.close());
  log.append('a', new Uint8Array(2), null);
  const messages = () => lines.map(({ err }) => err.message);
  return { lines, messages, attempts: (count: number) => vi.waitUntil(() => attempts >= count, 10_000) };
}

test('[L9] an operator hears of every kind of failure once, and again each minute while it lasts', async () => {
  const clock = vi.spyOn(performance, 'now').mockReturnValue(1e6);
  atTestEnd(() => clock.mockRestore());
  const failing = startFailing((attempt) =>
    attempt % 2 === 0
      ? new Error('connect ECONNREFUSED')
      : Object.assign(new Error('full'), { code: '53300' }),
  );
  await failing.attempts(5);
  expect(failing.messages()).toEqual(['full', 'connect ECONNREFUSED']);
  expect(failing.lines.map(({ failures }) => failures)).toEqual([1, 2]);
  clock.mockReturnValue(1e6 + MINUTE_MS);
  await failing.attempts(8);
  expect(failing.messages().slice(2).toSorted()).toEqual(['connect ECONNREFUSED', 'full']);
});

/** A log over a line to a database, with its own short timeout for statements. */
async function startOver(bytesPerSecond: number) {
  const { url } = await createDatabase();
  const database = await openMigrated({ databaseUrl: url });
  const proxy = await startProxy(url);
  const over = await openStorage({ databaseUrl: proxy.url }, { silenceMs: STATEMENT_MS });
  const metrics = new Metrics();
  const log = new UpdateLog(over.committer, { ...LIMITS, events: EVENTS, log: silent, metrics });
  atTestEnd(() => log.close());
  proxy.slow({ bytesPerSecond });
  const rows = async () => {
    const { rows: found } = await database.queries.query<{ update: Buffer }>(
      'select distinct update from indelible.updates',
    );
    return found.length;
  };
  const failures = async () => (await metrics.commitFailures.get()).values[0]?.value;
  return { log, rows, failures };
}

test('[L8] what is too much for a slow link to take in time is committed in smaller pieces', async () => {
  // The whole takes four times as long as one statement may.
  const { log, rows, failures } = await startOver(2_000_000);
  for (let row = 0; row < 400; row += 1) log.append('slow', randomBytes(10_000), null);
  await log.flush();
  expect(await rows()).toBe(400);
  expect(await failures()).toBeGreaterThan(0);
  expect(await failures(), 'the size that is in time is found, and kept').toBeLessThan(5);
});

test('[L8] one row that is too much gets more time', async () => {
  const { log, rows, failures } = await startOver(2_000_000);
  log.append('slow', randomBytes(1_500_000), null);
  log.append('slow', randomBytes(10), null);
  await log.flush();
  expect(await rows()).toBe(2);
  expect(await failures()).toBeGreaterThan(0);
});

test('[L6] what is refused does not pass for a confirmation of what was there before', async () => {
  const cluster = await startPostgres();
  const database = await openMigrated({ databaseUrl: cluster.url });
  const { queries } = database;
  const reload = (statement: string) =>
    queries.query(statement).then(() => queries.query('select pg_reload_conf()'));
  await reload(`alter system set synchronous_standby_names = 'away'`);
  const refused: string[] = [];
  const log = new UpdateLog(database.committer, {
    ...LIMITS,
    events: { ...EVENTS, refused: (document) => refused.push(document) },
    log: silent,
    metrics: new Metrics(),
  });
  atTestEnd(() => log.close());
  // Postgres cannot store a NUL in a text.
  log.append('bad\0name', randomBytes(10), null);
  const loaded = log.confirm();
  const waiting = async () =>
    (await queries.query(`select from pg_stat_activity where wait_event = 'SyncRep'`)).rows.length;
  await vi.waitFor(async () => expect(await waiting()).toBe(1), 5_000);
  expect(refused).toEqual(['bad\0name']);
  expect(log.committed).toBeLessThan(loaded);
  await reload(`alter system reset synchronous_standby_names`);
  await vi.waitFor(() => expect(log.committed).toBe(loaded), 5_000);
});

test('[L10] Postgres gives up what waits for a lock before the server does, and the locks of a server that is gone', async () => {
  const { committer, queries } = await openStorage(await createStorage('postgres'));
  for (const pool of [committer.pool, queries]) {
    const { rows } = await pool.query<{ name: string; setting: number }>(
      `select name, setting::int from pg_settings where name in
        ('lock_timeout', 'idle_in_transaction_session_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_count')`,
    );
    const settings = new Map(rows.map(({ name, setting }) => [name, setting]));
    expect(settings.get('lock_timeout')).toBeGreaterThan(0);
    expect(settings.get('lock_timeout')).toBeLessThan(committer.ms);
    expect(settings.get('idle_in_transaction_session_timeout')).toBe(60_000);
    expect(settings.get('tcp_keepalives_idle')).toBe(10);
    expect(settings.get('tcp_keepalives_count')).toBe(3);
  }
});
