import { Client, Pool, type PoolClient, type PoolConfig, type QueryConfig } from 'pg';
import type { Log } from '../log.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import { startEmbedded } from './embedded.ts';
import { isTransient, sqlStateOf } from './sql-errors.ts';

/** A connection attempt that takes longer has met a frozen or unreachable server. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement that takes longer has met a frozen server or a dead network path: the connection is given up. */
const QUERY_TIMEOUT_MS = 15_000;
/**
 * Every session: a default of `off` in the role, the database or the server would make every ack a lie, and so would one that
 * keeps back the warning of a commit that was cancelled while it waited for a standby. One of `statement_timeout` only fails
 * statements, but a batch that takes longer would be tried in vain for ever.
 */
const DURABLY = 'set synchronous_commit = on; set client_min_messages = warning; set statement_timeout = 0';
/**
 * Every session of Postgres. What is given up here goes on there: it would keep its connection while it waits for a lock, and
 * its locks while it waits for us, and another one comes with each attempt. So Postgres gives up, too: before us where it is a
 * lock that it waits for; when the line is dead; and when nothing comes in the middle of a transaction.
 */
const GIVING_UP = `set lock_timeout = '10s'; set idle_in_transaction_session_timeout = '60s';
  set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`;
/** How long `openDatabase` waits for a server that is still starting, as it is in a compose file. */
const STARTUP_PATIENCE_MS = 30_000;
const STARTUP_RETRY_MS = 250;

/** Postgres, or the embedded database behind the same driver. */
export interface Database {
  readonly kind: 'postgres' | 'embedded';
  /** One connection that only commits the update log, so that a crowd of loads never delays an ack. */
  readonly commits: Pool;
  /** Connections for everything else. The embedded database has one connection for both. */
  readonly queries: Pool;
  /** A commit that takes longer has met a frozen server, a dead network path or a thin one, and is given up; milliseconds. */
  readonly commitMs: number;
  /** The history that the database was writing when it was opened; see {@link Database.timelineOf}. */
  readonly timeline: string | null;
  /**
   * The history that the server behind a connection writes: a standby begins another one when it is promoted. `null` where it
   * is not known, as with the embedded database.
   */
  timelineOf(client: PoolClient): Promise<string | null>;
  /** Whether the process of Postgres behind a connection waits for a synchronous standby. Does not reject. */
  waitsForStandby(client: PoolClient): Promise<boolean>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Postgres URL; the embedded database is used when it is left out. */
  readonly url: string | undefined;
  readonly dataDir: string;
  /** Connections of `queries`. */
  readonly connections: number;
  readonly log: Log;
}

/**
 * Opens the database and waits until it answers.
 * @throws {@link IndelibleError} `database_unavailable` when Postgres does not answer within 30 s, `data_dir_locked`
 * when another process uses the embedded database
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const database =
    options.url === undefined ? await openEmbedded(options) : openPostgres(options.url, options);
  try {
    await waitUntilItAnswers(database, options.log);
    await warnOfWeakDurability(database, options.log);
    return database.kind === 'embedded'
      ? database
      : { ...database, timeline: await timelineOf(database.queries) };
  } catch (error) {
    await database.close();
    throw error;
  }
}

function openPostgres(url: string, { connections, log }: DatabaseOptions): Database {
  const session = `${DURABLY}; ${GIVING_UP}`;
  // Never closed for being idle: the first edit after silence would wait for a new connection. No limit for a statement:
  // `commit` has one.
  const commits = createPool(
    { connectionString: url, max: 1, idleTimeoutMillis: 0, query_timeout: 0 },
    session,
    log,
  );
  const queries = createPool({ connectionString: url, max: connections }, session, log);
  return {
    kind: 'postgres',
    commits,
    queries,
    commitMs: QUERY_TIMEOUT_MS,
    timeline: null,
    timelineOf,
    waitsForStandby: (client) => waitsForStandby(client, url),
    close: async () => {
      await Promise.all([commits.end(), queries.end()]);
    },
  };
}

async function openEmbedded({ dataDir, log }: DatabaseOptions): Promise<Database> {
  const embedded = await startEmbedded(dataDir, (error) =>
    log.error({ err: error }, 'the embedded database broke'),
  );
  const pool = createPool({ ...embedded.connection, max: 1, idleTimeoutMillis: 0 }, DURABLY, log);
  return {
    kind: 'embedded',
    commits: pool,
    queries: pool,
    commitMs: QUERY_TIMEOUT_MS,
    timeline: null,
    timelineOf: () => Promise.resolve(null),
    waitsForStandby: () => Promise.resolve(false),
    close: async () => {
      await pool.end();
      await embedded.close();
    },
  };
}

/** A statement that does not wait longer, whatever the pool's default is; the type of the driver does not know that. */
export function limited(text: string): QueryConfig {
  return Object.assign({ text }, { query_timeout: QUERY_TIMEOUT_MS });
}

/** The process of Postgres behind a connection; what the protocol says of it would be a pooler's. */
const backends = new WeakMap<object, number | undefined>();

function createPool(config: PoolConfig, session: string, log: Log): Pool {
  const pool = new Pool({
    application_name: 'indelible',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool awaits it, though its type does not say so
    onConnect: async (client) => {
      await client.query(limited(session));
      const { rows } = await client.query<{ pid: number }>(limited('select pg_backend_pid() as pid'));
      backends.set(client, rows[0]?.pid);
    },
    ...config,
  });
  // An idle connection that breaks is replaced at its next use; without a listener it would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'a database connection broke'));
  return pool;
}

async function waitUntilItAnswers({ queries }: Database, log: Log): Promise<void> {
  const deadline = Date.now() + STARTUP_PATIENCE_MS;
  for (let attempt = 0; ; attempt += 1) {
    try {
      await queries.query('select 1');
      return;
    } catch (error) {
      if (!isTransient(error)) throw error;
      if (Date.now() > deadline) {
        throw new IndelibleError('database_unavailable', messageOf(error), { cause: error });
      }
      if (attempt === 0) log.warn({ err: error }, 'waiting for the database');
      await new Promise((resolve) => setTimeout(resolve, STARTUP_RETRY_MS));
    }
  }
}

async function warnOfWeakDurability({ queries }: Database, log: Log): Promise<void> {
  const { rows } = await queries.query<{ fsync: string; full_page_writes: string }>(
    `select current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes`,
  );
  if (rows[0]?.fsync !== 'on') {
    log.error('fsync is OFF in Postgres: acknowledged edits are lost when its machine loses power');
  }
  if (rows[0]?.full_page_writes !== 'on') {
    log.error('full_page_writes is OFF in Postgres: a power loss can corrupt acknowledged edits');
  }
}

/** Runs `work` in one transaction on a connection of its own; rolled back if it throws. */
export function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return confirmed(pool, async (client) => {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  });
}

/** The function of Postgres in which a commit waits for synchronous standbys; a warning's code and language say less. */
const WAIT_FOR_STANDBY = 'SyncRepWaitForLSN';

/**
 * Runs `work` on a connection of its own, which is closed if it throws.
 * @throws also when a commit has been cancelled (`pg_cancel_backend`) while it waited for a synchronous standby: Postgres
 * reports success, and says with a warning that the standby may not have it. It stays committed here, so what is tried
 * again is there twice. No other warning counts: one that comes with every statement would be an outage.
 */
export async function confirmed<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await checkOut(pool);
  let warning: string | undefined;
  const onNotice = ({ routine, message }: { routine: string | undefined; message: string | undefined }) => {
    if (routine === WAIT_FOR_STANDBY) warning = message;
  };
  client.on('notice', onNotice);
  try {
    const result = await work(client);
    if (warning !== undefined) throw new Error(`no standby has confirmed the commit: ${warning}`);
    client.release();
    return result;
  } catch (error) {
    // Closing the connection rolls back, and never waits for a server that does not answer.
    client.release(true);
    throw error;
  } finally {
    client.off('notice', onNotice);
  }
}

/** A commit that was given up since it took too long; it may have done its work. */
export class CommitTimeout extends Error {}

/**
 * Commits what `work` writes, as {@link confirmed} does. Whatever takes too long is given up, and its connection with it; but
 * not while it waits for a synchronous standby: tried again it would wait a second time, beside the first, with one
 * connection of Postgres less each time.
 * @param ms - how long it may take
 * @throws {@link CommitTimeout}; what `pg` throws
 */
export async function commit(
  database: Pick<Database, 'commits' | 'waitsForStandby'>,
  ms: number,
  log: Log,
  work: (client: PoolClient) => Promise<void>,
): Promise<void> {
  let givenUp: CommitTimeout | undefined;
  const look = async (client: PoolClient, isOver: () => boolean) => {
    const isReplicating = await database.waitsForStandby(client);
    if (isOver()) return;
    if (isReplicating) {
      log.error('a commit waits for a standby: nothing is acknowledged until one confirms it');
    } else {
      givenUp = new CommitTimeout(`a commit has taken more than ${ms} ms`);
      // A connection that has a statement is cut, not asked to end.
      await client.end();
    }
  };
  try {
    await confirmed(database.commits, async (client) => {
      let isOver = false;
      // Does not reject.
      const timer = setInterval(() => void look(client, () => isOver), ms);
      try {
        await work(client);
      } finally {
        isOver = true;
        clearInterval(timer);
      }
    });
  } catch (error) {
    throw givenUp ?? error;
  }
}

/** @throws when the connection breaks */
async function timelineOf(client: Pool | PoolClient): Promise<string | null> {
  try {
    const { rows } = await client.query<{ timeline: string }>(
      limited('select substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline'),
    );
    return rows[0]?.timeline ?? null;
  } catch (error) {
    // Not everything that speaks like Postgres has these functions, or lets everybody call them.
    if (sqlStateOf(error) === null) throw error;
    return null;
  }
}

/** Asks on a connection of its own: those of the pool may all be waiting for the standby, too. */
async function waitsForStandby(client: PoolClient, url: string): Promise<boolean> {
  const asker = new Client({
    connectionString: url,
    application_name: 'indelible',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
  });
  asker.on('error', ignore);
  try {
    await asker.connect();
    const { rows } = await asker.query<{ isWaiting: boolean }>(
      `select exists (select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep') as "isWaiting"`,
      [backends.get(client)],
    );
    return rows[0]?.isWaiting === true;
  } catch (error) {
    // A server that refuses, since it has no connection left, is one that answers: another attempt would not help it.
    return sqlStateOf(error) !== null;
  } finally {
    asker.end().catch(ignore);
  }
}

/**
 * A connection of the pool for several statements, to be given back with `release`. One that breaks between two of them
 * emits an error, which ends the process when nobody listens; the next statement rejects anyway.
 */
export async function checkOut(pool: Pool): Promise<PoolClient> {
  const client = await pool.connect();
  if (!client.listeners('error').includes(ignore)) client.on('error', ignore);
  return client;
}

function ignore(): void {}
