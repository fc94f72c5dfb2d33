import { failpoint } from '../failpoints.ts';
import { checksumOf } from './checksum.ts';
import type { DatabaseConnection } from './database-connection.ts';
import type { KeyedRequest, RequestRecord } from './requests.ts';

/** One update, as the log has it. */
export interface Row {
  readonly document: string;
  readonly update: Uint8Array;
  readonly author: string | null;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The request that has made it, recorded with it. */
  readonly request?: KeyedRequest | undefined;
}

/** What was not written. */
export interface Unwritten {
  /** Documents that are deleted, or have another name by now: nothing of them was written. */
  readonly deleted: ReadonlySet<string>;
  /** Requests with keys under which another attempt is recorded. */
  readonly repeated: readonly KeyedRequest[];
}

const NOTHING: Unwritten = { deleted: new Set(), repeated: [] };
/** Times that rows are written of which some are found to be missing, and nobody can say why. */
const ATTEMPTS = 2;

/**
 * The rows as parameters: one binary parameter cut up by Postgres, since an array of bytea would travel as text, at twice the bytes.
 * The ids of documents go with their names: a row is written only where a document of this id still has this name.
 */
const ROWS = `unnest($2::bigint[], $3::text[], $4::float8[], $5::int[], $6::int[], $7::int[], $8::text[])
  as row (document, author, time, checksum, start, bytes, attempt)`;
const LIVE = `document = any (array(select d.id from unnest($9::bigint[], $10::text[]) as known (id, name)
  join indelible.documents d on d.id = known.id and d.name = known.name))`;
const INSERT = `insert into indelible.updates (document, author, created_at, checksum, update)
  select document, author, to_timestamp(time / 1000), checksum, substr($1::bytea, start, bytes) from ${ROWS} where ${LIVE}`;
/**
 * Where somebody else has recorded the key of a request, its row is not written. Where its own attempt is recorded, a commit has been made
 * whose answer was lost: it is written once more, as all that is tried again, which is harmless.
 */
const RECORD = `with given as (
    select * from unnest($11::text[], $12::text[], $13::text[], $14::text[], $15::jsonb[])
      as request ("user", key, attempt, fingerprint, answer)),
  recorded as (
    insert into indelible.requests ("user", key, attempt, fingerprint, answer)
      select "user", key, given.attempt, fingerprint, answer from given
        join ${ROWS} using (attempt) where ${LIVE}
      on conflict do nothing returning attempt),
  known as (select attempt from given join indelible.requests using ("user", key, attempt))
  ${INSERT} and (attempt is null or attempt in (select attempt from recorded union all select attempt from known))`;

/** Writes rows of the update log, and knows the ids of their documents. */
export class RowWriter {
  /** Of documents, as they are where the connection leads. */
  readonly #ids = new Map<string, string>();
  #connection: DatabaseConnection | undefined;
  #timeline: string | null = null;

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
  async write(connection: DatabaseConnection, rows: readonly Row[]): Promise<Unwritten> {
    // A standby that was promoted without the last documents gives their ids to others: rows with such an id would be nobody's, or
    // somebody else's. In the same history an id is known for good: looked up by its name, it could be that of another document.
    const isSame =
      this.#timeline === null ? connection === this.#connection : connection.timeline === this.#timeline;
    if (!isSame) this.#ids.clear();
    this.#connection = connection;
    this.#timeline = connection.timeline;
    if (rows.length === 0) {
      await connection.query(`select pg_logical_emit_message(true, 'indelible', '')`);
      return NOTHING;
    }
    await this.#findIds(connection, rows);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const count = await this.#insert(connection, rows);
      if (count === rows.length) return NOTHING;
      const unwritten = await this.#whatIsMissing(connection, rows);
      const { deleted, repeated } = unwritten;
      const explained = rows.filter(
        ({ document, request }) =>
          deleted.has(document) || (request !== undefined && repeated.includes(request)),
      );
      if (explained.length === rows.length - count) return unwritten;
      // Something was deleted, or restored, since; or another instance, which had taken it over, has just recorded an attempt, too. What is
      // written twice is harmless.
    }
    throw new Error('a document was deleted or restored meanwhile');
  }

  /** A document gets its row with its first update, so that opening one leaves nothing behind; unless it is deleted. */
  async #findIds(connection: DatabaseConnection, updates: readonly Row[]): Promise<void> {
    const unknown = new Set(updates.map(({ document }) => document).filter((name) => !this.#ids.has(name)));
    if (unknown.size === 0) return;
    const names = [[...unknown]];
    await connection.query('begin');
    const made = await connection.query<{ id: string }>(
      `insert into indelible.documents (name)
         select name from unnest($1::text[]) as given (name)
           where not exists (select from indelible.tombstones t where t.name = given.name)
         on conflict (name) do nothing returning id`,
      names,
    );
    // One that was deleted while this waited for it would be back, blank.
    if (made.rows.length > 0)
      await connection.query(
        `delete from indelible.documents d using indelible.tombstones t
           where d.name = t.name and d.id = any($1::bigint[])`,
        [made.rows.map(({ id }) => id)],
      );
    await connection.query('commit');
    const { rows } = await connection.query<{ id: string; name: string }>(
      'select id, name from indelible.documents where name = any($1::text[])',
      names,
    );
    for (const { id, name } of rows) this.#ids.set(name, id);
  }

  /** @returns how many were written */
  async #insert(connection: DatabaseConnection, rows: readonly Row[]): Promise<number> {
    let offset = 1;
    const offsets = rows.map(({ update }) => (offset += update.byteLength) - update.byteLength);
    const names = [...new Set(rows.map(({ document }) => document))].filter((name) => this.#ids.has(name));
    const requests = rows.flatMap(({ request }) => request?.record ?? []);
    const values = [
      Buffer.concat(rows.map(({ update }) => update)),
      rows.map(({ document }) => this.#ids.get(document) ?? null),
      rows.map(({ author }) => author),
      rows.map(({ time }) => time),
      rows.map(({ update }) => checksumOf(update)),
      offsets,
      rows.map(({ update }) => update.byteLength),
      rows.map(({ request }) => request?.record.attempt ?? null),
      names.map((name) => this.#ids.get(name)),
      names,
    ];
    failpoint('commit.before');
    const { rowCount } =
      requests.length === 0
        ? await connection.query(INSERT, values)
        : await connection.query(RECORD, [...values, ...columnsOf(requests)]);
    failpoint('commit.after');
    return rowCount ?? 0;
  }

  async #whatIsMissing(connection: DatabaseConnection, rows: readonly Row[]): Promise<Unwritten> {
    const names = [...new Set(rows.map(({ document }) => document))];
    const ids = names.map((name) => this.#ids.get(name) ?? null);
    const live = await connection.query<{ name: string }>(
      `select d.name from unnest($1::bigint[], $2::text[]) as known (id, name)
         join indelible.documents d on d.id = known.id and d.name = known.name`,
      [ids, names],
    );
    const isLive = new Set(live.rows.map(({ name }) => name));
    const deleted = new Set(names.filter((name) => !isLive.has(name)));
    for (const name of deleted) this.#ids.delete(name);
    const requests = rows.flatMap(({ document, request }) =>
      request === undefined || deleted.has(document) ? [] : request,
    );
    const isRecorded = await attemptsOf(connection, requests);
    return { deleted, repeated: requests.filter(({ record }) => !isRecorded.has(record.attempt)) };
  }
}

/** Of these attempts those that are recorded. */
async function attemptsOf(
  connection: DatabaseConnection,
  requests: readonly KeyedRequest[],
): Promise<ReadonlySet<string>> {
  if (requests.length === 0) return new Set();
  const [users, keys, attempts] = columnsOf(requests.map(({ record }) => record));
  // By their keys: no index has the attempts, and there are those of a day.
  const { rows } = await connection.query<{ attempt: string }>(
    `select attempt from unnest($1::text[], $2::text[], $3::text[]) as request ("user", key, attempt)
       join indelible.requests using ("user", key, attempt)`,
    [users, keys, attempts],
  );
  return new Set(rows.map(({ attempt }) => attempt));
}

function columnsOf(requests: readonly RequestRecord[]): unknown[] {
  return [
    requests.map(({ user }) => user),
    requests.map(({ key }) => key),
    requests.map(({ attempt }) => attempt),
    requests.map(({ fingerprint }) => fingerprint),
    requests.map(({ answer }) => JSON.stringify(answer)),
  ];
}
