import { IndelibleError } from '../errors.ts';
import type { DatabaseConnection } from './database-connection.ts';
import type { DatabasePool } from './database-pool.ts';
import { record, type RequestRecord } from './requests.ts';
import { isDuplicate } from './sql-errors.ts';

/** A name under which a document was deleted, or renamed. */
export interface Tombstone {
  readonly name: string;
  /** The document that has this name by now; `null` when there is none. */
  readonly document: string | null;
}

/** Transactions may become visible after ones that began later; read again from this long before the newest. */
const OVERLAP_MS = 60_000;
/** Erasing waits at most so long for statements that may still write what is to be erased. */
const WRITERS_MS = 30_000;
const WRITERS_POLL_MS = 20;
/** Tombstones whose documents are erased in one transaction. */
const BATCH = 100;

/**
 * Deletes documents, and brings them back. A document that is deleted moves from one table to another, with its id: whoever writes to
 * it checks that it is where documents are, so that what is written later, elsewhere, is refused.
 *
 * Every method throws what `pg` throws when the database does not answer.
 */
export class Tombstones {
  readonly #pool: DatabasePool;
  /** When the newest one that is known was made; milliseconds since 1970, by the clock of the database. */
  #newest: number | undefined;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /**
   * @param request - what is recorded with it
   * @returns the id of the document; `null` when there was none
   */
  delete(name: string, request?: RequestRecord): Promise<string | null> {
    return this.#change(
      `with gone as (delete from indelible.documents where name = $1 returning id, name, created_at)
       insert into indelible.tombstones (document, name, created_at, deleted_at)
         select id, name, created_at, clock_timestamp() from gone returning document as id`,
      [name],
      request,
    );
  }

  /**
   * Brings the document back that was deleted last under this name.
   * @returns its id; `null` when there was none
   * @throws {@link IndelibleError} `document_exists` when another one has the name by now
   */
  restore(name: string, request?: RequestRecord): Promise<string | null> {
    return this.#change(
      `with risen as (
         delete from indelible.tombstones where document is not null and id = (
           select id from indelible.tombstones where name = $1 and document is not null
             order by deleted_at desc, id desc limit 1)
         returning document, name, created_at)
       insert into indelible.documents (id, name, created_at) overriding system value
         select document, name, created_at from risen returning id`,
      [name],
      request,
    );
  }

  /**
   * Gives a document another name. The old one opens nothing from now on.
   * @returns its id; `null` when there was no such document
   * @throws {@link IndelibleError} `document_exists` when another one has that name
   */
  rename(name: string, to: string, request?: RequestRecord): Promise<string | null> {
    return this.#change(
      `with moved as (update indelible.documents set name = $2 where name = $1 returning id),
         buried as (insert into indelible.tombstones (name, deleted_at)
           select $1::text, clock_timestamp() from moved)
       select id from moved`,
      [name, to],
      request,
    );
  }

  async #change(text: string, values: string[], request: RequestRecord | undefined): Promise<string | null> {
    try {
      return await this.#pool.transaction(async (connection) => {
        const { rows } = await connection.query<{ id: string }>(text, values);
        const id = rows[0]?.id ?? null;
        if (id !== null && request !== undefined) await record(connection, request);
        return id;
      });
    } catch (error) {
      if (isDuplicate(error)) throw new IndelibleError('document_exists', undefined, { cause: error });
      throw error;
    }
  }

  /**
   * Deletes all that is stored of the documents that were deleted under a name.
   * @returns whether there are any, erased before or now
   * @throws {@link IndelibleError} `database_unavailable` when somebody who may still write to them takes too long
   */
  async erase(name: string, request?: RequestRecord): Promise<boolean> {
    await this.#writersHaveEnded();
    return this.#pool.transaction(async (connection) => {
      const { rows } = await connection.query<{ document: string | null }>(
        'select document from indelible.tombstones where name = $1 for update',
        [name],
      );
      await eraseThose(
        connection,
        rows.flatMap(({ document }) => document ?? []),
      );
      if (rows.length > 0 && request !== undefined) await record(connection, request);
      return rows.length > 0;
    });
  }

  /** Erases documents that were deleted longer ago than this. @returns how many */
  async eraseOld(ageMs: number): Promise<number> {
    const { rows: times } = await this.#pool.query<{ now: string }>('select clock_timestamp()::text as now');
    await this.#writersHaveEnded();
    for (let erased = 0; ;) {
      const documents = await this.#pool.transaction(async (connection) => {
        const { rows } = await connection.query<{ document: string }>(
          `select document from indelible.tombstones
             where document is not null
               and deleted_at < least($1::timestamptz, now() - make_interval(secs => $2::float8 / 1000))
             limit $3 for update skip locked`,
          [times[0]?.now, ageMs, BATCH],
        );
        const found = rows.map(({ document }) => document);
        await eraseThose(connection, found);
        return found;
      });
      erased += documents.length;
      if (documents.length < BATCH) return erased;
    }
  }

  /** Those that may have been made since the last call; none, the first time. */
  async readNew(): Promise<Tombstone[]> {
    const { rows } = await this.#pool.query<Tombstone & { at: number }>(
      `select t.name, d.id as document, extract(epoch from max(t.deleted_at))::float8 * 1000 as at
         from indelible.tombstones t left join indelible.documents d on d.name = t.name
         where t.deleted_at > to_timestamp($1::float8 / 1000)
         group by t.name, d.id
       union all
       select '', null, extract(epoch from clock_timestamp())::float8 * 1000 where $1::float8 is null`,
      [this.#newest === undefined ? null : this.#newest - OVERLAP_MS],
    );
    for (const { at } of rows) this.#newest = Math.max(this.#newest ?? -Infinity, at);
    return rows.filter(({ name }) => name !== '');
  }

  /** A statement that began before now may have found the document where documents are. */
  async #writersHaveEnded(): Promise<void> {
    const { rows } = await this.#pool.query<{ pid: number; since: string }>(
      `select pid, query_start::text as since from pg_stat_activity
         where datname = current_database() and application_name = 'indelible' and state = 'active'
           and pid <> pg_backend_pid()`,
    );
    const writers = [rows.map(({ pid }) => pid), rows.map(({ since }) => since)];
    for (const begun = performance.now(); performance.now() - begun < WRITERS_MS;) {
      const { rowCount } = await this.#pool.query(
        `select from pg_stat_activity a join unnest($1::int[], $2::text[]) as w (pid, since)
           on a.pid = w.pid and a.query_start::text = w.since where a.state = 'active'`,
        writers,
      );
      if (rowCount === 0) return;
      await new Promise((resolve) => setTimeout(resolve, WRITERS_POLL_MS));
    }
    throw new IndelibleError('database_unavailable', 'a statement takes long that may write to the document');
  }
}

/** Whether a name is that of a deleted document, and of no other. */
export async function isDeleted(
  query: (text: string, values: string[]) => Promise<{ rowCount: number | null }>,
  name: string,
): Promise<boolean> {
  const { rowCount } = await query(
    `select from indelible.tombstones where name = $1
       and not exists (select from indelible.documents where name = $1) limit 1`,
    [name],
  );
  return rowCount === 1;
}

async function eraseThose(connection: DatabaseConnection, documents: readonly string[]): Promise<void> {
  for (const statement of [
    'delete from indelible.updates where document = any($1::bigint[])',
    'delete from indelible.snapshots where document = any($1::bigint[])',
    'update indelible.tombstones set document = null where document = any($1::bigint[])',
  ])
    await connection.query(statement, [documents]);
}
