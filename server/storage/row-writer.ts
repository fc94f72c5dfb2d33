import { failpoint } from '../failpoints.ts';
import { checksumOf } from './checksum.ts';
import type { DatabaseConnection } from './database-connection.ts';

/** One update, as the log has it. */
export interface Row {
  readonly document: string;
  readonly update: Uint8Array;
  readonly author: string | null;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Writes rows of the update log, and knows the ids of their documents. */
export class RowWriter {
  /** Of documents, as they are where the connection leads. */
  readonly #ids = new Map<string, string>();
  #connection: DatabaseConnection | undefined;

  /** Tells the id of a document that has been read, which saves the first commit from looking it up. */
  remember(document: string, id: string): void {
    this.#ids.set(document, id);
  }

  /** Forgets the id of a document. */
  forget(document: string): void {
    this.#ids.delete(document);
  }

  /**
   * Writes rows in one statement. Without any it takes a place in Postgres's log all the same: a commit that writes nothing waits
   * for no standby.
   */
  async write(connection: DatabaseConnection, rows: readonly Row[]): Promise<void> {
    // What is known goes with its connection: another one may lead to a standby that was promoted without the last documents and
    // gives their ids to others. Rows with such an id would be nobody's, or somebody else's.
    if (connection !== this.#connection) this.#ids.clear();
    this.#connection = connection;
    if (rows.length === 0) {
      await connection.query(`select pg_logical_emit_message(true, 'indelible', '')`);
      return;
    }
    await this.#findIds(connection, rows);
    await this.#insert(connection, rows);
  }

  /** A document gets its row with its first update, so that opening one leaves nothing behind. */
  async #findIds(connection: DatabaseConnection, updates: readonly Row[]): Promise<void> {
    const unknown = new Set(updates.map(({ document }) => document).filter((name) => !this.#ids.has(name)));
    if (unknown.size === 0) return;
    const names = [[...unknown]];
    await connection.query(
      'insert into indelible.documents (name) select unnest($1::text[]) on conflict (name) do nothing',
      names,
    );
    const { rows } = await connection.query<{ id: string; name: string }>(
      'select id, name from indelible.documents where name = any($1::text[])',
      names,
    );
    for (const { id, name } of rows) this.#ids.set(name, id);
  }

  async #insert(connection: DatabaseConnection, rows: readonly Row[]): Promise<void> {
    // One binary parameter cut up by Postgres: an array of bytea would travel as text, at twice the bytes.
    let offset = 1;
    const offsets = rows.map(({ update }) => (offset += update.byteLength) - update.byteLength);
    failpoint('commit.before');
    await connection.query(
      `insert into indelible.updates (document, author, created_at, checksum, update)
       select document, author, to_timestamp(time / 1000), checksum, substr($1::bytea, start, bytes)
       from unnest($2::bigint[], $3::text[], $4::float8[], $5::int[], $6::int[], $7::int[])
         as row (document, author, time, checksum, start, bytes)`,
      [
        Buffer.concat(rows.map(({ update }) => update)),
        rows.map(({ document }) => this.#ids.get(document)),
        rows.map(({ author }) => author),
        rows.map(({ time }) => time),
        rows.map(({ update }) => checksumOf(update)),
        offsets,
        rows.map(({ update }) => update.byteLength),
      ],
    );
    failpoint('commit.after');
  }
}
