import type { Log } from '../log.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import { Committer } from './committer.ts';
import { DatabasePool } from './database-pool.ts';
import { startEmbedded } from './embedded.ts';
import { History } from './history.ts';
import { isTransient } from './sql-errors.ts';

/** A connection that is silent for so long has met a frozen server or a dead network path: it is given up. */
const SILENCE_MS = 15_000;
/**
 * Every session: a default of `off` in the role, the database or the server would make every ack a lie, and so would one that
 * keeps back the warning of a commit that was cancelled while it waited for a standby. One of `statement_timeout` only fails
 * statements, but a batch that takes longer would be tried in vain for ever.
 */
const DURABLY = `set synchronous_commit = on; set client_min_messages = warning; set statement_timeout = 0;
  set application_name = 'indelible'`;
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
  /** Commits the update log. */
  readonly committer: Committer;
  /** Connections for everything else. The embedded database has one connection for both. */
  readonly queries: DatabasePool;
  readonly history: History;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Postgres URL; the embedded database is used when it is left out. */
  readonly url: string | undefined;
  readonly dataDir: string;
  /** Connections of `queries`. */
  readonly connections: number;
  readonly log: Log;
  /** How long a connection may be silent, and a commit may take; milliseconds, 15 s when left out. */
  readonly silenceMs?: number | undefined;
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
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

function openPostgres(url: string, { connections, log, silenceMs = SILENCE_MS }: DatabaseOptions): Database {
  const history = new History();
  const options = { session: `${DURABLY}; ${GIVING_UP}`, silenceMs, history, log };
  // Never closed for being idle: the first edit after silence would wait for a new connection.
  const commits = new DatabasePool({ connectionString: url, max: 1, idleTimeoutMillis: 0 }, options);
  const queries = new DatabasePool({ connectionString: url, max: connections }, options);
  return {
    kind: 'postgres',
    committer: new Committer(commits, { ms: silenceMs, url, log }),
    queries,
    history,
    close: async () => {
      await Promise.all([commits.close(), queries.close()]);
    },
  };
}

async function openEmbedded({ dataDir, log, silenceMs = SILENCE_MS }: DatabaseOptions): Promise<Database> {
  const embedded = await startEmbedded(dataDir, (error) =>
    log.error({ err: error }, 'the embedded database broke'),
  );
  const history = new History();
  const pool = new DatabasePool(
    { ...embedded.connection, max: 1, idleTimeoutMillis: 0 },
    { session: DURABLY, silenceMs, history, log },
  );
  return {
    kind: 'embedded',
    committer: new Committer(pool, { ms: silenceMs, url: undefined, log }),
    queries: pool,
    history,
    close: async () => {
      await pool.close();
      await embedded.close();
    },
  };
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

async function warnOfWeakDurability({ queries, history }: Database, log: Log): Promise<void> {
  const { rows } = await queries.query<{ fsync: string; full_page_writes: string }>(
    `select current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes`,
  );
  if (rows[0]?.fsync !== 'on') {
    log.error('fsync is OFF in Postgres: acknowledged edits are lost when its machine loses power');
  }
  if (rows[0]?.full_page_writes !== 'on') {
    log.error('full_page_writes is OFF in Postgres: a power loss can corrupt acknowledged edits');
  }
  if (history.isPresent(null)) {
    log.warn('Postgres does not say which timeline it writes: start this server again after a failover');
  }
}
