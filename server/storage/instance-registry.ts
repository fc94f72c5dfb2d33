import type { DatabasePool } from './database-pool.ts';
import { PLACE } from './log-reader.ts';

/** An instance that has not said for so many seconds that it is there has ended, or cannot write. */
const GONE_SECONDS = 15;
/** And is forgotten. */
const FORGOTTEN_SECONDS = 600;

/** What the database knows of the others. */
export interface Neighbours {
  /** Those who have said lately that they are there. */
  readonly names: readonly string[];
  /** What they have not committed yet is read from here on; see {@link LogReader}. */
  readonly place: string;
}

/** The instances that use this database, as they say themselves. */
export class InstanceRegistry {
  readonly #pool: DatabasePool;
  readonly #name: string;

  /** @param name - of this instance, another one with each start */
  constructor(pool: DatabasePool, name: string) {
    this.#pool = pool;
    this.#name = name;
  }

  /** Says that this instance is there. */
  async beat(): Promise<Neighbours> {
    return this.#pool.transaction(async (connection) => {
      // It is worth no waiting, for a standby neither.
      await connection.query('set local synchronous_commit = off');
      await connection.query(
        `insert into indelible.instances (name, seen_at) values ($1, now())
           on conflict (name) do update set seen_at = excluded.seen_at`,
        [this.#name],
      );
      await connection.query(
        `delete from indelible.instances where seen_at < now() - make_interval(secs => $1)`,
        [FORGOTTEN_SECONDS],
      );
      const { rows } = await connection.query<{ names: string[]; place: string }>(
        `select array(select name from indelible.instances
             where name <> $1 and seen_at > now() - make_interval(secs => $2)) as names,
           ${PLACE} as place`,
        [this.#name, GONE_SECONDS],
      );
      return rows[0] as Neighbours;
    });
  }

  /** This instance ends. */
  async leave(): Promise<void> {
    await this.#pool.query('delete from indelible.instances where name = $1', [this.#name]);
  }
}
