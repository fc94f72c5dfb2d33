import type * as Y from 'yjs';
import { IndelibleError, messageOf } from '../errors.ts';
import { failpoint } from '../failpoints.ts';
import { nextTurn } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { checksumOf } from './checksum.ts';
import type { DatabaseConnection } from './database-connection.ts';
import type { DatabasePool } from './database-pool.ts';
import { LongTransaction } from './long-transaction.ts';
import { record, type RequestRecord } from './requests.ts';
import { findUnreadable, type StoredContent, type StoredDocument } from './stored-document.ts';
import { isDeleted } from './tombstones.ts';
import { UpdateThread } from './update-thread.ts';

/** What a document is loaded for in one turn of the event loop. */
const TURN_MS = 8;
/** From here on updates of a document are sliced, for which a thread has to be asked. Yjs takes some 30 ms for so much at once. */
const LARGE_BYTES = 1024 * 1024;
/** What is smaller is applied within a turn's time. */
const SLICED_BYTES = 16 * 1024;

/** What became of a fold: `unsafe` when the snapshot would not have given the same document back. */
export type FoldResult =
  { kind: 'folded'; snapshotBytes: number; rows: number } | { kind: 'nothing' } | { kind: 'unsafe' };

interface StoredRow {
  document: string;
  /** `null` on the row of the snapshot. */
  row: string | null;
  bytes: Buffer | null;
  checksum: number | null;
  version: string | null;
  isReplicated: boolean | null;
}

/** How a document is stored first. */
export interface CreateInStore {
  readonly author?: string | null;
  /** What is recorded with it. */
  readonly request?: RequestRecord | undefined;
  /** Not where another one was deleted under its name. */
  readonly unlessDeleted?: boolean;
}

/** Reads documents from snapshots and update log, and folds the one into the other. Knows nothing of open documents. */
export class DocumentStore {
  readonly #pool: DatabasePool;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #merger = new UpdateThread();
  /** Another one: nobody waits for a merge, and many for a document that is opened. */
  readonly #slicer = new UpdateThread();
  #folding: Promise<unknown> = Promise.resolve();
  #lastTurn: Promise<void> = Promise.resolve();
  #onSetAside: (name: string) => void = () => {};

  constructor(pool: DatabasePool, log: Log, metrics: Metrics) {
    this.#pool = pool;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Calls the listener, which must not throw, when rows of a document have been set aside, since they are damaged. */
  onSetAside(listener: (name: string) => void): void {
    this.#onSetAside = listener;
  }

  /**
   * Stores a document with its first content, if it is given any, unless it is stored already.
   * @returns whether this call stored it; of several instances that try at once, one does
   */
  create(
    name: string,
    update: Uint8Array | null,
    { author = null, request, unlessDeleted = false }: CreateInStore = {},
  ): Promise<boolean> {
    return this.#pool.transaction(async (connection) => {
      if (unlessDeleted && (await isDeleted((text, values) => connection.query(text, values), name)))
        return false;
      const { rows } = await connection.query<{ id: string }>(
        'insert into indelible.documents (name) values ($1) on conflict (name) do nothing returning id',
        [name],
      );
      const id = rows[0]?.id;
      if (id === undefined) return false;
      if (request !== undefined) await record(connection, request);
      if (update === null) return true;
      await connection.query(
        `insert into indelible.updates (document, author, created_at, checksum, update)
           values ($1, $2, now(), $3, $4)`,
        [id, author, checksumOf(update), update],
      );
      return true;
    });
  }

  /**
   * Rewrites the snapshot from snapshot and tail as the database has them, and deletes exactly the rows that went in. One
   * document after the other, since each is in memory three times while it is merged.
   * @throws when the database does not answer, or the snapshot is damaged; nothing is changed then
   */
  fold(name: string): Promise<FoldResult> {
    const result = this.#folding.then(() => this.#fold(name));
    this.#folding = result.catch(() => {});
    return result;
  }

  /** Whether a name is that of a deleted document, and of no other. */
  isDeleted(name: string): Promise<boolean> {
    return isDeleted((text, values) => this.#pool.query(text, values), name);
  }

  /** Ends its threads. */
  async close(): Promise<void> {
    await Promise.all([this.#merger.close(), this.#slicer.close()]);
  }

  /** No connection is held while it merges, which may take seconds: commits of the embedded database share it. */
  async #fold(name: string): Promise<FoldResult> {
    const stored = await this.readUnlessDeleted(name);
    if (stored === null || stored.tail.length === 0) return this.#folded({ kind: 'nothing' });
    failpoint('fold.read');
    const state = await this.#merger.merge(stored);
    if (state === null) {
      this.#log.error({ document: name }, 'not folded: the snapshot would not give the same document back');
      return this.#folded({ kind: 'unsafe' });
    }
    failpoint('fold.merged');
    const isReplaced = await this.#pool.transaction((connection) =>
      replaceSnapshot(connection, stored, state),
    );
    failpoint('fold.committed');
    if (!isReplaced) return this.#folded({ kind: 'nothing' });
    return this.#folded({ kind: 'folded', snapshotBytes: state.byteLength, rows: stored.tail.length });
  }

  /** Reads a document, as {@link read} does. @returns `null` also when it is deleted */
  async readUnlessDeleted(name: string): Promise<StoredDocument | null> {
    try {
      return await this.read(name);
    } catch (error) {
      if (error instanceof IndelibleError && error.code === 'document_deleted') return null;
      throw error;
    }
  }

  #folded(result: FoldResult): FoldResult {
    this.#metrics.folds.inc({ result: result.kind });
    return result;
  }

  /**
   * Reads a document; in one statement, so that snapshot and tail are of one moment even while another instance folds.
   * Rows of the tail that fail their checksum are set aside, loudly, and left out.
   * @returns `null` when the document is not stored
   * @throws {@link IndelibleError} `document_deleted`; `document_unavailable` when the snapshot is damaged; what `pg` throws when
   * the database does not answer
   */
  read(name: string): Promise<StoredDocument | null> {
    return this.#pool.use((connection) => this.#read(connection, name));
  }

  async #read(connection: DatabaseConnection, name: string): Promise<StoredDocument | null> {
    const { rows } = await connection.query<StoredRow>(
      `select d.id as document, null::bigint as row, s.state as bytes, s.checksum, s.xmin::text as version,
           current_setting('synchronous_standby_names') <> '' as "isReplicated"
         from indelible.documents d left join indelible.snapshots s on s.document = d.id where d.name = $1
       union all
       select u.document, u.id, u.update, u.checksum, null, null
         from indelible.updates u join indelible.documents d on d.id = u.document
         where d.name = $1 and u.quarantined is null
       order by row nulls first`,
      [name],
    );
    const head = rows.find(({ row }) => row === null);
    if (head === undefined) {
      if (await isDeleted((text, values) => connection.query(text, values), name))
        throw new IndelibleError('document_deleted');
      return null;
    }
    if (head.bytes !== null && checksumOf(head.bytes) !== head.checksum) {
      throw this.#unavailable(name, 'the snapshot does not match its checksum');
    }
    const tail = rows.flatMap(({ row, bytes, checksum }) =>
      row === null || bytes === null ? [] : [{ id: row, update: bytes, checksum }],
    );
    const damaged = tail.filter(({ update, checksum }) => checksumOf(update) !== checksum);
    if (damaged.length > 0) await this.#quarantine(connection, name, head.document, damaged, 'checksum');
    const sound = damaged.length === 0 ? tail : tail.filter((row) => !damaged.includes(row));
    const { document: id, bytes: snapshot, version, isReplicated } = head;
    const { timeline } = connection;
    return { id, timeline, snapshot, version, tail: sound, isReplicated: isReplicated === true };
  }

  /**
   * Applies what is stored to an empty document, a part at a turn, so that nobody's edit of another one waits meanwhile.
   * @param turnMs - what a turn may take; one update is applied in any case
   * @throws whatever Yjs throws on an update that it cannot apply; `doc` is of no use then
   */
  async load(doc: Y.Doc, stored: StoredContent, turnMs = TURN_MS): Promise<void> {
    const parts = await this.#partsOf(stored);
    const transaction = new LongTransaction(doc);
    for (let next = 0; next < parts.length;) {
      if (next > 0) await this.#nextTurn();
      next = transaction.apply(parts, next, performance.now() + turnMs);
    }
    transaction.end();
  }

  /** One of the event loop for each who asks: of documents that are loaded at the same time one goes on in each. */
  #nextTurn(): Promise<void> {
    this.#lastTurn = this.#lastTurn.then(() => nextTurn());
    return this.#lastTurn;
  }

  async #partsOf({ snapshot, tail }: StoredContent): Promise<readonly Uint8Array[]> {
    const updates = [...(snapshot === null ? [] : [snapshot]), ...tail.map(({ update }) => update)];
    if (updates.reduce((sum, { byteLength }) => sum + byteLength, 0) < LARGE_BYTES) return updates;
    const parts = updates.map((update) =>
      update.byteLength < SLICED_BYTES ? Promise.resolve([update]) : this.#slicesOf(update),
    );
    return (await Promise.all(parts)).flat();
  }

  #slicesOf(update: Uint8Array): Promise<readonly Uint8Array[]> {
    // Without the thread it takes a long turn.
    return this.#slicer.slice(update).catch(() => [update]);
  }

  /**
   * Sets aside the rows that make {@link load} throw `error`, so that the next read leaves them out.
   * @throws {@link IndelibleError} `document_unavailable` when it is not the tail that cannot be applied
   */
  async setAsideUnreadable(name: string, stored: StoredDocument, error: unknown): Promise<void> {
    let unreadable;
    try {
      unreadable = findUnreadable(stored);
    } catch {
      throw this.#unavailable(name, `the snapshot cannot be applied: ${messageOf(error)}`);
    }
    if (unreadable.length === 0) {
      throw this.#unavailable(
        name,
        `its updates cannot be applied together, though each can: ${messageOf(error)}`,
      );
    }
    const rows = unreadable.map(({ row }) => row);
    await this.#pool.use(async (connection) => {
      // In another history these ids are those of other rows.
      if (connection.timeline !== stored.timeline) return;
      await this.#quarantine(connection, name, stored.id, rows, 'apply');
    });
  }

  #unavailable(name: string, detail: string): IndelibleError {
    this.#log.error({ document: name, detail }, 'a document is kept closed: its storage cannot be read');
    return new IndelibleError('document_unavailable', detail);
  }

  /** Marked, never deleted: an operator may still mend them. */
  async #quarantine(
    connection: DatabaseConnection,
    name: string,
    document: string,
    rows: { id: string }[],
    why: 'checksum' | 'apply',
  ): Promise<void> {
    const ids = rows.map(({ id }) => id);
    this.#metrics.quarantined.inc(ids.length);
    this.#log.error(
      { document: name, rows: ids, why },
      'stored updates cannot be read and are set aside; the rest of the document opens',
    );
    await connection.query(
      'update indelible.updates set quarantined = $3 where document = $1 and id = any($2::bigint[])',
      [document, ids, why],
    );
    this.#onSetAside(name);
  }
}

/**
 * Puts a snapshot in the place of the one that was read and of the rows of the tail, under a lock on the document's row.
 * Edits are not held up: appending takes no such lock.
 * @returns `false` when another process has replaced the snapshot meanwhile, having folded some of the same rows, or has
 * set one of them aside, which would come back with the snapshot and be deleted; or a standby has taken the place of the
 * database, and may have given these ids to other rows
 */
async function replaceSnapshot(
  connection: DatabaseConnection,
  stored: StoredDocument,
  state: Uint8Array,
): Promise<boolean> {
  if (connection.timeline !== stored.timeline) return false;
  const locked = await connection.query('select from indelible.documents where id = $1 for no key update', [
    stored.id,
  ]);
  // Deleted meanwhile: a snapshot would bring back what may have been erased.
  if (locked.rowCount === 0) return false;
  failpoint('fold.locked');
  const merged = [stored.id, stored.tail.map(({ id }) => id)];
  const { rows } = await connection.query<{ version: string | null; isSetAside: boolean }>(
    `select (select xmin::text from indelible.snapshots where document = $1) as version,
       exists (select from indelible.updates
         where document = $1 and id = any($2::bigint[]) and quarantined is not null) as "isSetAside"`,
    merged,
  );
  if (rows[0]?.version !== stored.version || rows[0].isSetAside) return false;
  await connection.query(
    `insert into indelible.snapshots (document, checksum, state, last_edit_at)
       select $1, $3, $4, max(created_at) from indelible.updates where document = $1 and id = any($2::bigint[])
     on conflict (document) do update
       set created_at = now(), checksum = excluded.checksum, state = excluded.state,
         last_edit_at = greatest(snapshots.last_edit_at, excluded.last_edit_at)`,
    [...merged, checksumOf(state), state],
  );
  failpoint('fold.replaced');
  await connection.query(
    'delete from indelible.updates where document = $1 and id = any($2::bigint[])',
    merged,
  );
  failpoint('fold.deleted');
  return true;
}
