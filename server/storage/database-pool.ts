import { Pool, type PoolClient, type PoolConfig, type QueryResult, type QueryResultRow } from 'pg';
import type { Log } from '../log.ts';
import { DatabaseConnection } from './database-connection.ts';
import type { History } from './history.ts';
import { OutcomeUnknown, isTransient } from './sql-errors.ts';

/** A connection attempt that takes longer has met a frozen or unreachable server. */
const CONNECT_TIMEOUT_MS = 5_000;

export interface DatabasePoolOptions {
  /** Statements at the start of every session. */
  readonly session: string;
  /** A connection over which nothing comes or goes for so long is given up; milliseconds. */
  readonly silenceMs: number;
  readonly history: History;
  readonly log: Log;
}

/** Connections to the database, each lent to one piece of work at a time. */
export class DatabasePool {
  readonly #pool: Pool;
  readonly #silenceMs: number;
  readonly #history: History;

  constructor(config: PoolConfig, { session, silenceMs, history, log }: DatabasePoolOptions) {
    this.#silenceMs = silenceMs;
    this.#history = history;
    this.#pool = new Pool({
      application_name: 'indelible',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      Client: DatabaseConnection,
      // oxlint-disable-next-line typescript/no-misused-promises -- the pool awaits it, though its type does not say so
      onConnect: async (client) => {
        const connection = client as DatabaseConnection;
        await connection.unlessSilent(connection.begin(session), silenceMs);
        history.follow(connection.timeline);
      },
      ...config,
    });
    // An idle connection that breaks is replaced at its next use; without a listener it would end the process.
    this.#pool.on('error', (error) => log.warn({ err: error }, 'a database connection broke'));
  }

  /** Whether work waits for a connection. */
  get isCrowded(): boolean {
    return this.#pool.waitingCount > 0;
  }

  /** Runs one statement, as {@link use} does. */
  query<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<Row>> {
    return this.use((connection) => connection.query<Row>(text, values));
  }

  /**
   * Runs `work` in one transaction, as {@link use} does; rolled back if it throws.
   * @throws also {@link OutcomeUnknown}
   */
  async transaction<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    let isCommitting = false;
    try {
      return await this.use(async (connection) => {
        await connection.query('begin');
        const result = await work(connection);
        isCommitting = true;
        await connection.query('commit');
        return result;
      });
    } catch (error) {
      throw isCommitting && isTransient(error) ? new OutcomeUnknown(error) : error;
    }
  }

  /**
   * Lends a connection to `work`; it is closed if that throws.
   * @param silenceMs - how long nothing may come or go on it; 0 sets no limit
   * @throws also when the work may not last: no standby has confirmed its commit, or one has taken the place of the database
   * meanwhile. It may be written all the same; trying again then writes it twice, which is harmless.
   */
  async use<T>(
    work: (connection: DatabaseConnection) => Promise<T>,
    silenceMs = this.#silenceMs,
  ): Promise<T> {
    const connection = await this.#checkOut();
    try {
      const result = await connection.unlessSilent(work(connection), silenceMs);
      this.#requireThatItCounts(connection);
      connection.release();
      return result;
    } catch (error) {
      // Closing the connection rolls back, and never waits for a server that does not answer.
      connection.release(true);
      throw error;
    }
  }

  #requireThatItCounts({ warning, timeline }: DatabaseConnection): void {
    if (warning !== undefined) throw new Error(`no standby has confirmed the commit: ${warning}`);
    if (this.#history.isPresent(timeline)) return;
    throw new Error('a standby has taken the place of the database');
  }

  /** An idle connection may lead to a server that was the primary before, and still answers: it is closed. */
  async #checkOut(): Promise<DatabaseConnection & PoolClient> {
    for (;;) {
      const connection = (await this.#pool.connect()) as DatabaseConnection & PoolClient;
      if (this.#history.isPresent(connection.timeline)) return connection;
      connection.release(true);
    }
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}
