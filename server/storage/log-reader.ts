import { checksumOf } from './checksum.ts';
import type { DatabasePool } from './database-pool.ts';

/** An update of a document, or its snapshot, as it is committed. */
export interface CommittedUpdate {
  readonly document: string;
  readonly update: Uint8Array;
}

/** The place from which what is committed from now on can be read, in SQL. */
export const PLACE = 'pg_snapshot_xmin(pg_current_snapshot())::xid::text';

interface FoundRow {
  document: string | null;
  update: Buffer | null;
  checksum: number | null;
  place: string | null;
}

/**
 * Reads what has been committed lately to documents, whoever wrote it.
 *
 * Ids do not say what is new, since a transaction that began earlier may commit later. So it goes by the transactions themselves: a
 * place is the oldest one that was running, and what is committed after that was written by this one or a later one. A snapshot that
 * was folded meanwhile holds rows that have gone.
 */
export class LogReader {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /**
   * @param documents - names; of others nothing is read
   * @param place - everything that was committed since is read, and maybe some of what was before
   * @returns that, and the place to go on from
   */
  async read(
    documents: readonly string[],
    place: string,
  ): Promise<{ updates: CommittedUpdate[]; place: string }> {
    const { rows } = await this.#pool.query<FoundRow>(
      `select null as document, null::bytea as update, null::int as checksum, ${PLACE} as place
       union all
       select d.name, u.update, u.checksum, null
         from indelible.documents d join indelible.updates u on u.document = d.id
         where d.name = any($1::text[]) and u.quarantined is null and age(u.xmin) <= age($2::text::xid)
       union all
       select d.name, s.state, s.checksum, null
         from indelible.documents d join indelible.snapshots s on s.document = d.id
         where d.name = any($1::text[]) and age(s.xmin) <= age($2::text::xid)`,
      [documents, place],
    );
    const updates = rows.flatMap(({ document, update, checksum }) =>
      // A damaged one is set aside by the next who loads the document.
      document === null || update === null || checksumOf(update) !== checksum ? [] : [{ document, update }],
    );
    return { updates, place: rows.find((row) => row.place !== null)?.place ?? place };
  }
}
