import type { DatabasePool } from './database-pool.ts';
import type { DocumentStatistics } from './document-statistics.ts';

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

  async statistics(name: string): Promise<DocumentStatistics | null> {
    const { rows } = await this.#pool.query<DocumentStatistics>(
      `select ${millisecondsOf('d.created_at')} as "createdAt",
           ${millisecondsOf('coalesce(u.last, s.created_at)')} as "lastEditAt",
           u.rows, u."rowBytes", u."setAside",
           coalesce(octet_length(s.state), 0) as "snapshotBytes", ${millisecondsOf('s.created_at')} as "snapshotAt"
         from indelible.documents d left join indelible.snapshots s on s.document = d.id, lateral (
           select count(*)::int as rows, coalesce(sum(octet_length(update)), 0)::float8 as "rowBytes",
               max(created_at) as last,
               (count(*) filter (where quarantined is not null))::int as "setAside"
             from indelible.updates where document = d.id) u
         where d.name = $1`,
      [name],
    );
    return rows[0] ?? null;
  }

  /**
   * Names in the order of their bytes.
   * @param prefix - what they begin with
   * @param after - the name that they come after; blank for the first
   */
  async names(prefix: string, after: string, limit: number, skip = 0): Promise<string[]> {
    // Postgres finds both ends of a prefix in an index of collation "C" by itself.
    const { rows } = await this.#pool.query<{ name: string }>(
      `select name from indelible.documents where starts_with(name, $1) and name > $2 order by name limit $3 offset $4`,
      [prefix, after, limit, skip],
    );
    return rows.map(({ name }) => name);
  }
}

function millisecondsOf(time: string): string {
  return `extract(epoch from ${time})::float8 * 1000`;
}
