import { withDeadline } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { DatabaseConnection } from './database-connection.ts';
import type { DatabasePool } from './database-pool.ts';
import { sqlStateOf } from './sql-errors.ts';

/** How long Postgres may take to say what a commit waits for, and to be reached for that. */
const ASKING_MS = 5_000;
/** Of {@link DatabasePool.use}: a commit has a limit of its own. */
const HOWEVER_SILENT = 0;

/** A commit that was given up since it took too long; it may have done its work. */
export class CommitTimeout extends Error {}

/** Commits the update log. */
export class Committer {
  /** One connection, which does nothing else, so that a crowd of loads never delays an ack. */
  readonly pool: DatabasePool;
  /** A commit that takes longer has met a frozen server, a dead network path or a thin one, and is given up; milliseconds. */
  readonly ms: number;
  readonly #url: string | undefined;
  readonly #log: Log;

  /** @param options.url - of Postgres, to ask what a commit waits for; the embedded database has no standby */
  constructor(pool: DatabasePool, options: { ms: number; url: string | undefined; log: Log }) {
    this.pool = pool;
    this.ms = options.ms;
    this.#url = options.url;
    this.#log = options.log;
  }

  /**
   * Commits what `work` writes. Whatever takes too long is given up, and its connection with it; but not while it waits for a
   * synchronous standby: tried again it would wait a second time, beside the first, with one connection of Postgres less each
   * time.
   * @param patience - times as long as usual that it may take
   * @throws {@link CommitTimeout}; what {@link DatabasePool.use} throws
   */
  commit<T>(patience: number, work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const ms = this.ms * patience;
    return this.pool.use(async (connection) => {
      const committed = work(connection);
      const isOver = committed.then(
        () => true,
        () => true,
      );
      while ((await withDeadline(isOver, ms)) === 'late') {
        const mayGoOn = await Promise.race([isOver, this.#waitsForStandby(connection)]);
        if (!mayGoOn) throw new CommitTimeout(`a commit has taken more than ${ms} ms`);
      }
      return committed;
    }, HOWEVER_SILENT);
  }

  /** Asks on a connection of its own: those of a pool may all be waiting for the standby, too. Does not reject. */
  async #waitsForStandby({ pid }: DatabaseConnection): Promise<boolean> {
    if (this.#url === undefined) return false;
    const asker = new DatabaseConnection({
      connectionString: this.#url,
      application_name: 'indelible',
      connectionTimeoutMillis: ASKING_MS,
      query_timeout: ASKING_MS,
    });
    try {
      await asker.connect();
      const { rowCount } = await asker.query(
        `select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
        [pid],
      );
      if (rowCount === 0) return false;
      this.#log.error('a commit waits for a standby: nothing is acknowledged until one confirms it');
      return true;
    } catch (error) {
      // A server that refuses, since it has no connection left, is one that answers: another attempt would not help it.
      return sqlStateOf(error) !== null;
    } finally {
      asker.end().catch(() => {});
    }
  }
}
