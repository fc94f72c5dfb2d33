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
           ${millisecondsOf('coalesce(greatest(u.last, s.last_edit_at), s.created_at)')} as "lastEditAt",
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
  async names(prefix: string, after: string, limit: number): Promise<string[]> {
    // Postgres finds both ends of a prefix in an index of collation "C" by itself.
    const { rows } = await this.#pool.query<{ name: string }>(
      `select name from indelible.documents where starts_with(name, $1) and name > $2 order by name limit $3`,
      [prefix, after, limit],
    );
    return rows.map(({ name }) => name);
  }

  /** Where a name is, without saying it; `null` when it is not stored. */
  async placeOf(name: string): Promise<string | null> {
    const { rows } = await this.#pool.query<{ place: string }>(
      `select id || '.' || xmin as place from indelible.documents where name = $1`,
      [name],
    );
    return rows[0]?.place ?? null;
  }

  /** The name that is there; `null` when that was deleted or renamed since. */
  async nameAt(place: string): Promise<string | null> {
    const { rows } = await this.#pool.query<{ name: string }>(
      `select name from indelible.documents where id = split_part($1, '.', 1)::bigint and xmin::text = split_part($1, '.', 2)`,
      [place],
    );
    return rows[0]?.name ?? null;
  }
}

function millisecondsOf(time: string): string {
  return `extract(epoch from ${time})::float8 * 1000`;
}
