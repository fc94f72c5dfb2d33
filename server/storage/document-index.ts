import type { DatabasePool } from './database-pool.ts';

/** Which documents are stored. */
export class DocumentIndex {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /** @throws what `pg` throws when the database does not answer; so do all methods */
  async has(name: string): Promise<boolean> {
    const { rows } = await this.#pool.query('select from indelible.documents where name = $1', [name]);
    return rows.length > 0;
  }

  /**
   * Names in the order of their bytes.
   * @param prefix - what they begin with
   * @param after - the name that they come after; blank for the first
   */
  async names(prefix: string, after: string, limit: number): Promise<string[]> {
    // Postgres finds both ends of a prefix in an index of collation "C" by itself.
    const { rows } = await this.#pool.query<{ name: string }>(
      `select name from indelible.documents where starts_with(name, $1) and name > $2 order by name limit $3`,
      [prefix, after, limit],
    );
    return rows.map(({ name }) => name);
  }
}
