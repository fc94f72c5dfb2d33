import { IndelibleError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { CommitTimeout, type Committer } from './committer.ts';
import type { KeyedRequest } from './requests.ts';
import { RowWriter, type Row } from './row-writer.ts';
import { isAboutTheData, kindOf } from './sql-errors.ts';

/**
 * Commits start at most this often under load; after silence one starts at once. Half of it is a part of every ack. Measured at
 * 5,000 edits/s, twice, with 10, 5 and 3 ms: p50 of acks 10, 6.8 and 7.7 ms, CPU of the server 139, 150 and 158 µs an edit.
 */
const COMMIT_INTERVAL_MS = 5;
/** Bounds the memory of one statement, and the time that one bad network packet costs. */
const BATCH_BYTES = 8 * 1024 * 1024;
const BATCH_ROWS = 5_000;
/** What a queued row costs beside its bytes: the object, its buffer, its places in queue and maps. */
const ROW_OVERHEAD_BYTES = 256;
/** A commit that failed is tried again after this time, doubled each time up to the maximum. */
const RETRY_MS = 50;
const RETRY_MAX_MS = 500;
/** For those who wait for acks, a commit that takes longer is as bad as one that failed. */
const SLOW_COMMIT_MS = 2_000;
/** Statements grow again as long as they take less than this share of their time. */
const QUICK = 1 / 4;
/** A statement of one row that ran out of time gets twice as much the next time, up to so many times as much. */
const MAX_PATIENCE = 16;
/** An error that stays the same is logged this often. */
const LOG_AGAIN_MS = 60_000;

interface NumberedRow extends Row {
  readonly sequence: number;
}

/** What one commit takes: rows, and with them every number up to one. */
interface Batch {
  readonly rows: readonly Row[];
  readonly upTo: number;
}

/** What the log tells its owner. Called synchronously; must not throw. */
export interface UpdateLogEvents {
  /** Every update up to this sequence number is committed; `documents` are those of the last commit. */
  committed(sequence: number, documents: Iterable<string>): void;
  /** The queue has reached its limit (`true`), or has room again (`false`). */
  full(isFull: boolean): void;
  /**
   * What this document holds in memory will not be durable: Postgres refuses its updates for good, and they are dropped here; with
   * `document_deleted` since it is deleted. Nothing of them was acknowledged.
   */
  refused(document: string, error: unknown): void;
  /** Numbers move past rows of requests that were not written, since others had recorded them. */
  repeated(): void;
}

/**
 * The update log of all documents: `append` puts an update into memory and gives it a number, commits follow one
 * after the other, each taking everything that waits. Numbers are given in order and commits keep that order, so one
 * number, `committed`, says which updates are durable. A number without an update stands for what was in the database when it
 * was given.
 *
 * While Postgres is away the batch at the head is tried again until it is back; nothing is dropped.
 */
export class UpdateLog {
  readonly #committer: Committer;
  readonly #limitBytes: number;
  readonly #events: UpdateLogEvents;
  readonly #log: Log;
  readonly #metrics: Metrics;

  /** Rows that are not committed, in the order of their numbers; the first of them are in the commit that is on its way. */
  #queue: NumberedRow[] = [];
  #queuedBytes = 0;
  #isFull = false;
  readonly #waitingRows = new Map<string, number>();
  readonly #writer = new RowWriter();

  /** The number that was given last. */
  #last = 0;
  #committed = 0;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #running = false;
  #lastStart = -Infinity;
  #failures = 0;
  /** Rows of one statement, at most: fewer after a failure. */
  #mostRows = BATCH_ROWS;
  /** Times as long as usual that a statement may take. */
  #patience = 1;
  /** When each error was logged last, since the last commit. */
  readonly #loggedAt = new Map<string, number>();
  #closed = false;
  #waiters: { sequence: number; resolve: () => void }[] = [];

  constructor(
    committer: Committer,
    options: { limitBytes: number; events: UpdateLogEvents; log: Log; metrics: Metrics },
  ) {
    this.#committer = committer;
    this.#limitBytes = options.limitBytes;
    this.#events = options.events;
    this.#log = options.log;
    this.#metrics = options.metrics;
  }

  /**
   * Queues an update for the next commit.
   * @param author - `sub` of the token, or `null`
   * @param request - what is recorded with it
   * @returns its number; it is durable once {@link committed} has reached it
   */
  append(document: string, update: Uint8Array, author: string | null, request?: KeyedRequest): number {
    const sequence = (this.#last += 1);
    this.#queue.push({ document, update, author, time: Date.now(), sequence, request });
    this.#waitingRows.set(document, (this.#waitingRows.get(document) ?? 0) + 1);
    this.#countBytes(update.byteLength + ROW_OVERHEAD_BYTES);
    this.#schedule();
    return sequence;
  }

  /**
   * Gives a number without an update: what was in the database by now, whoever wrote it, is confirmed by a synchronous standby too
   * once {@link committed} has reached it. Nobody's edit is lost when it never does.
   */
  confirm(): number {
    this.#last += 1;
    this.#schedule();
    return this.#last;
  }

  /** Everything with a number up to this one is committed. */
  get committed(): number {
    return this.#committed;
  }

  /**
   * Whether nothing is committed at the moment: the last attempt failed, or the one on its way has taken long; behind a lock,
   * say, all of which a database may have that answers otherwise.
   */
  get isFailing(): boolean {
    return this.#failures > 0 || (this.#running && performance.now() - this.#lastStart > SLOW_COMMIT_MS);
  }

  /** Whether a document has updates that are not committed. */
  isWaiting(document: string): boolean {
    return this.#waitingRows.has(document);
  }

  /** Names of the documents that have updates that are not committed. */
  waitingDocuments(): string[] {
    return [...this.#waitingRows.keys()];
  }

  /** Resolves when every update that was appended before the call is committed (or the log is closed). */
  flush(): Promise<void> {
    const sequence = this.#queue.at(-1)?.sequence;
    if (sequence === undefined || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ sequence, resolve }));
  }

  /** Tells the id of a document that has been read. */
  remember(document: string, id: string): void {
    this.#writer.remember(document, id);
  }

  /** Forgets the id of a document that leaves memory. */
  forget(document: string): void {
    if (!this.isWaiting(document)) this.#writer.forget(document);
  }

  /** Stops committing. Call {@link flush} first; what still waits is lost, and was never acknowledged. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** At once after silence (when this turn of the event loop ends), else when the interval has passed. */
  #schedule(): void {
    if (this.#timer !== undefined || this.#running || this.#closed || this.#committed === this.#last) return;
    const run = () => {
      this.#timer = undefined;
      // Cannot reject: #commitBatch catches everything.
      void this.#commitBatch();
    };
    const pause = this.#pause();
    this.#timer = pause <= 0 ? setImmediate(run) : setTimeout(run, pause);
  }

  #pause(): number {
    if (this.#failures > 0) return Math.min(RETRY_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
    return this.#lastStart + COMMIT_INTERVAL_MS - performance.now();
  }

  #cancelTimer(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer as NodeJS.Timeout);
    clearImmediate(this.#timer as NodeJS.Immediate);
    this.#timer = undefined;
  }

  async #commitBatch(): Promise<void> {
    this.#running = true;
    this.#lastStart = performance.now();
    const batch = this.#nextBatch();
    try {
      if (await this.#write(batch.rows)) this.#settle(batch);
    } catch (error) {
      this.#log.error({ err: error }, 'acknowledging a commit failed');
    } finally {
      this.#running = false;
      this.#schedule();
    }
  }

  #nextBatch(): Batch {
    let bytes = 0;
    let count = 0;
    for (const { update } of this.#queue) {
      bytes += update.byteLength;
      if (count > 0 && (bytes > BATCH_BYTES || count === this.#mostRows)) break;
      count += 1;
    }
    const next = this.#queue[count]?.sequence ?? this.#last + 1;
    return { rows: this.#queue.slice(0, count), upTo: next - 1 };
  }

  /** @returns whether nothing of the batch waits any more; `false` when it must be tried again. Does not reject. */
  async #write(rows: readonly Row[]): Promise<boolean> {
    try {
      await this.#commit(rows);
      return true;
    } catch (error) {
      this.#metrics.commitFailures.inc();
      if (rows.length > 0 && isAboutTheData(error)) return this.#writeOneByOne(rows);
      this.#failed(rows.length, error);
      return false;
    }
  }

  /**
   * Postgres is there and refuses the statement: find out whose rows it refuses, so that one document does not hold up
   * all the others.
   */
  async #writeOneByOne(rows: readonly Row[]): Promise<boolean> {
    try {
      for (const document of new Set(rows.map((row) => row.document))) {
        await this.#writeOrRefuse(
          document,
          rows.filter((row) => row.document === document),
        );
      }
      // Rows that are refused confirm nothing of what was there before.
      await this.#commit([]);
      return true;
    } catch (error) {
      this.#failed(rows.length, error);
      return false;
    }
  }

  async #writeOrRefuse(document: string, rows: readonly Row[]): Promise<void> {
    try {
      await this.#commit(rows);
    } catch (error) {
      if (!isAboutTheData(error)) throw error;
      this.#log.error({ err: error, document }, 'Postgres refuses the updates of a document');
      this.#events.refused(document, error);
    }
  }

  /**
   * What is too large for a slow link, for the memory of Postgres or for something in between would fail for ever: so the
   * next statement is half as large.
   */
  #failed(rows: number, error: unknown): void {
    this.#failures += 1;
    if (rows > 1) this.#mostRows = Math.ceil(rows / 2);
    else if (rows === 1 && error instanceof CommitTimeout)
      this.#patience = Math.min(this.#patience * 2, MAX_PATIENCE);
    this.#tell(error);
  }

  /** An operator hears of every kind of failure, and again now and then while it lasts. */
  #tell(error: unknown): void {
    const kind = kindOf(error);
    const now = performance.now();
    if (now - (this.#loggedAt.get(kind) ?? -Infinity) < LOG_AGAIN_MS) return;
    this.#loggedAt.set(kind, now);
    this.#log.error(
      { err: error, failures: this.#failures, waiting: this.#queue.length },
      'a commit failed; trying until the database is back',
    );
  }

  async #commit(rows: readonly Row[]): Promise<void> {
    const { deleted, repeated } = await this.#committer.commit(this.#patience, (connection) =>
      this.#writer.write(connection, rows),
    );
    for (const document of deleted) this.#events.refused(document, new IndelibleError('document_deleted'));
    const seen = new Set(repeated.filter(({ onRepeated }) => onRepeated()));
    if (seen.size < repeated.length) this.#events.repeated();
    const again = rows.filter(({ request }) => request !== undefined && seen.has(request));
    if (again.length > 0) await this.#commit(again.map(withoutRequest));
  }

  #settle({ rows, upTo }: Batch): void {
    if (this.#failures > 0) this.#log.info('the database is back: commits resume');
    const ms = performance.now() - this.#lastStart;
    this.#failures = 0;
    this.#patience = 1;
    this.#loggedAt.clear();
    if (ms < this.#committer.ms * QUICK) this.#mostRows = Math.min(this.#mostRows * 2, BATCH_ROWS);
    this.#metrics.commitSeconds.observe(ms / 1000);
    this.#metrics.commitRows.observe(rows.length);
    this.#removeHead(rows);
    this.#committed = upTo;
    this.#events.committed(upTo, new Set(rows.map(({ document }) => document)));
    const done = this.#waiters.filter(({ sequence }) => sequence <= upTo);
    this.#waiters = this.#waiters.filter(({ sequence }) => sequence > upTo);
    for (const { resolve } of done) resolve();
  }

  #removeHead(rows: readonly Row[]): void {
    this.#queue.splice(0, rows.length);
    for (const { document } of rows) {
      const left = (this.#waitingRows.get(document) ?? 1) - 1;
      if (left === 0) this.#waitingRows.delete(document);
      else this.#waitingRows.set(document, left);
    }
    this.#countBytes(-rows.reduce((sum, { update }) => sum + update.byteLength + ROW_OVERHEAD_BYTES, 0));
  }

  #countBytes(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#metrics.queueBytes.set(this.#queuedBytes);
    this.#metrics.queueRows.set(this.#queue.length);
    // Room again at half the limit, so that sockets do not flutter around it.
    const isFull = this.#queuedBytes >= (this.#isFull ? this.#limitBytes / 2 : this.#limitBytes);
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#events.full(isFull);
  }
}

function withoutRequest({ document, update, author, time }: Row): Row {
  return { document, update, author, time };
}
