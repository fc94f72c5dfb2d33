import { checksumOf } from './checksum.ts';
import type { DatabaseConnection } from './database-connection.ts';
import type { DatabasePool } from './database-pool.ts';

/** Bytes as they were written, whatever became of them. */
interface StoredBytes {
  readonly time: Date;
  readonly update: Uint8Array;
  /** Whether they match their checksum. */
  readonly isIntact: boolean;
}

/** One row of the update log. */
export interface LogRow extends StoredBytes {
  readonly id: string;
  readonly author: string | null;
  /** Why loading and folding leave it out: `checksum`, `apply` or `operator`; `null` when they do not. */
  readonly setAside: string | null;
}

/** All rows of a document at one moment, those that are set aside too. */
export interface DocumentRows {
  readonly name: string;
  readonly snapshot: StoredBytes | null;
  readonly log: readonly LogRow[];
}

/** Without `id` the snapshot; without anything a document that has none. */
interface Row {
  id: string | null;
  author: string | null;
  time: Date | null;
  update: Buffer | null;
  checksum: number | null;
  setAside: string | null;
}

/**
 * Reads all rows of a document, in one statement and without changing any: loading marks those that are damaged.
 * @returns `null` when the document is not stored
 */
export async function readRows(connection: DatabaseConnection, name: string): Promise<DocumentRows | null> {
  const { rows } = await connection.query<Row>(
    `select null::bigint as id, null::text as author, s.created_at as time, s.state as update, s.checksum,
         null::text as "setAside"
       from indelible.documents d left join indelible.snapshots s on s.document = d.id where d.name = $1
     union all
     select u.id, u.author, u.created_at, u.update, u.checksum, u.quarantined
       from indelible.updates u join indelible.documents d on d.id = u.document where d.name = $1
     order by id nulls first`,
    [name],
  );
  if (rows.length === 0) return null;
  const stored = rows.flatMap(({ time, update, checksum, ...row }) =>
    time === null || update === null
      ? []
      : [{ ...row, time, update, isIntact: checksumOf(update) === checksum }],
  );
  const log = stored.flatMap(({ id, ...row }) => (id === null ? [] : [{ ...row, id }]));
  return { name, snapshot: stored.find(({ id }) => id === null) ?? null, log };
}

/**
 * Sets a row aside, or takes it back, under the lock on the document's row that a fold takes, so that no fold of another
 * process merges it meanwhile.
 * @param mark - `operator` to set it aside, `null` to take it back
 * @param approve - sees the document as it is under the lock; what it throws leaves everything as it was
 * @returns what `approve` returned
 * @throws when no row of the log has this id
 */
export function markRow<T>(
  pool: DatabasePool,
  id: string,
  mark: 'operator' | null,
  approve: (document: DocumentRows, row: LogRow) => T,
): Promise<T> {
  return pool.transaction(async (connection) => {
    const { rows } = await connection.query<{ id: string; name: string }>(
      `select d.id, d.name from indelible.updates u join indelible.documents d on d.id = u.document
         where u.id = $1 for no key update of d`,
      [id],
    );
    const found = rows[0];
    const document = found === undefined ? null : await readRows(connection, found.name);
    // Looked up again: a fold may have held the lock.
    const row = document?.log.find((each) => each.id === id);
    if (!found || !document || !row) {
      throw new Error(`the update log has no row ${id}: a snapshot has taken it in, or it never was`);
    }
    const approved = approve(document, row);
    await connection.query('update indelible.updates set quarantined = $3 where document = $1 and id = $2', [
      found.id,
      id,
      mark,
    ]);
    return approved;
  });
}
