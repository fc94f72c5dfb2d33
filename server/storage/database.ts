import { Pool, type PoolClient, type PoolConfig, type QueryConfig } from 'pg';
import type { Log } from '../log.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import { withDeadline } from '../lifecycle.ts';
import { startEmbedded } from './embedded.ts';

/** A connection attempt that takes longer has met a frozen or unreachable server. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement that takes longer has met a frozen server or a dead network path: the connection is given up. */
const QUERY_TIMEOUT_MS = 15_000;
/** How long `openDatabase` waits for a server that is still starting, as it is in a compose file. */
const STARTUP_PATIENCE_MS = 30_000;
const STARTUP_RETRY_MS = 250;

/** SQLSTATE classes of a server that is away or out of something: connection, resources, operator, system. */
const TRANSIENT_CLASSES = new Set(['08', '25', '40', '53', '55', '57', '58']);
/** SQLSTATE classes that speak of the values themselves: data, integrity, program limits. */
const DATA_CLASSES = new Set(['22', '23', '54']);

/** Postgres, or the embedded database behind the same driver. */
export interface Database {
  readonly kind: 'postgres' | 'embedded';
  /** One connection that only commits the update log, so that a crowd of loads never delays an ack. */
  readonly commits: Pool;
  /** Connections for everything else. The embedded database has one connection for both. */
  readonly queries: Pool;
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
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

function openPostgres(url: string, { connections, log }: DatabaseOptions): Database {
  // Never closed for being idle: the first edit after silence would wait for a new connection.
  const commits = createPool({ connectionString: url, max: 1, idleTimeoutMillis: 0, query_timeout: 0 }, log);
  const queries = createPool({ connectionString: url, max: connections }, log);
  giveUpUnlessReplicating(commits, queries, log);
  return {
    kind: 'postgres',
    commits,
    queries,
    close: async () => {
      await Promise.all([commits.end(), queries.end()]);
    },
  };
}

async function openEmbedded({ dataDir, log }: DatabaseOptions): Promise<Database> {
  const embedded = await startEmbedded(dataDir, (error) =>
    log.error({ err: error }, 'the embedded database broke'),
  );
  const pool = createPool({ ...embedded.connection, max: 1, idleTimeoutMillis: 0 }, log);
  return {
    kind: 'embedded',
    commits: pool,
    queries: pool,
    close: async () => {
      await pool.end();
      await embedded.close();
    },
  };
}

/** A statement that does not wait longer, whatever the pool's default is; the type of the driver does not know that. */
function limited(text: string): QueryConfig {
  return Object.assign({ text }, { query_timeout: QUERY_TIMEOUT_MS });
}

/** The process of Postgres behind a connection; what the protocol says of it would be a pooler's. */
const backends = new WeakMap<object, number | undefined>();

function createPool(config: PoolConfig, log: Log): Pool {
  const pool = new Pool({
    application_name: 'indelible',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    // A default of `off` in the role, the database or the server would make every ack a lie. A default of
    // `statement_timeout` only fails statements, but a batch that takes longer would be tried in vain for ever.
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool awaits it, though its type does not say so
    onConnect: async (client) => {
      await client.query(limited('set synchronous_commit = on; set statement_timeout = 0'));
      const { rows } = await client.query<{ pid: number }>(limited('select pg_backend_pid() as pid'));
      backends.set(client, rows[0]?.pid);
    },
    ...config,
  });
  // An idle connection that breaks is replaced at its next use; without a listener it would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'a database connection broke'));
  return pool;
}

/**
 * Gives up the connection of a commit that takes too long, as `query_timeout` does, but not while it waits for a synchronous
 * standby. Tried again it would wait a second time, beside the first: every 15 s one connection less, and one copy more.
 */
function giveUpUnlessReplicating(commits: Pool, queries: Pool, log: Log): void {
  const timers = new Map<PoolClient, NodeJS.Timeout>();
  const look = async (client: PoolClient) => {
    const isReplicating = await waitsForStandby(client, queries);
    if (!timers.has(client)) return;
    if (isReplicating)
      log.error('a commit waits for a standby: nothing is acknowledged until one confirms it');
    else await client.end();
  };
  commits.on('acquire', (client) => {
    // Does not reject: a connection that has a statement is cut, not asked to end.
    const timer = setInterval(() => void look(client), QUERY_TIMEOUT_MS);
    timers.set(client, timer);
  });
  commits.on('release', (_error, client) => {
    clearInterval(timers.get(client));
    timers.delete(client);
  });
}

async function waitsForStandby(client: PoolClient, queries: Pool): Promise<boolean> {
  const question = queries.query<{ isWaiting: boolean }>(
    `select exists (select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep') as "isWaiting"`,
    [backends.get(client)],
  );
  if ((await withDeadline(question, PROBE_MS)) === 'late') return false;
  return (await question).rows[0]?.isWaiting === true;
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

/**
 * Whether an error says that the database is away, overloaded or read-only for now, so that the same statement may
 * succeed later.
 */
export function isTransient(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state !== null) return TRANSIENT_CLASSES.has(state.slice(0, 2));
  // What has no SQLSTATE comes from the socket or a timeout, unless it is a mistake of ours.
  return error instanceof Error && !(error instanceof TypeError || error instanceof RangeError);
}

/** Whether Postgres refuses the values of a statement, so that the same values can never succeed. */
export function isAboutTheData(error: unknown): boolean {
  return DATA_CLASSES.has(sqlStateOf(error)?.slice(0, 2) ?? '');
}

function sqlStateOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
  // Five characters; the codes of Node's own errors are longer words.
  return /^[0-9A-Z]{5}$/.test(error.code) && error.code !== 'EPIPE' ? error.code : null;
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

/** Longest that a health check waits for an answer, and how long its answer serves. */
const PROBE_MS = 2_000;
const PROBE_SERVES_MS = 1_000;

/** Whether the database answers a trivial statement soon. Health checks that come together share one statement. */
export class DatabaseProbe {
  readonly #queries: Pool;
  #answer: Promise<boolean> | undefined;

  constructor({ queries }: Database) {
    this.#queries = queries;
  }

  answers(): Promise<boolean> {
    this.#answer ??= this.#ask();
    return this.#answer;
  }

  async #ask(): Promise<boolean> {
    const isThere = (await withDeadline(this.#queries.query('select 1'), PROBE_MS)) === 'done';
    setTimeout(() => (this.#answer = undefined), PROBE_SERVES_MS).unref();
    return isThere;
  }
}
