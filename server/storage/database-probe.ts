import { withDeadline } from '../lifecycle.ts';
import type { Database } from './database.ts';

/** Longest that a health check waits for an answer, and how long its answer serves. */
const PROBE_MS = 2_000;
const PROBE_SERVES_MS = 1_000;

/** Whether the database answers a trivial statement soon. Health checks that come together share one statement. */
export class DatabaseProbe {
  readonly #database: Database;
  #answer: Promise<boolean> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  answers(): Promise<boolean> {
    this.#answer ??= this.#ask();
    return this.#answer;
  }

  async #ask(): Promise<boolean> {
    const { queries, committer } = this.#database;
    // Its turn behind a crowd of loads may come too late, though the database answers every one of them.
    const pool = queries.isCrowded ? committer.pool : queries;
    const isThere = (await withDeadline(pool.query('select 1'), PROBE_MS)) === 'done';
    setTimeout(() => (this.#answer = undefined), PROBE_SERVES_MS).unref();
    return isThere;
  }
}
