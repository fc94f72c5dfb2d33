import { messageOf, type ErrorCode } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { SyncStep } from '../protocol/frames.ts';
import type { Acks } from './acks.ts';
import type { Origin } from './broadcast.ts';
import type { Connection } from './host.ts';
import type { OpenDocument } from './open-document.ts';
import { checkUpdate, type UpdateLimits, type UpdateShape } from './update-check.ts';
import { LARGE_BYTES, type WeighedUpdate } from './weighed-update.ts';

/** What edits of clients need of the hub. */
export interface ClientEditsHub {
  readonly limits: { readonly update: UpdateLimits };
  readonly log: Log;
  readonly metrics: Metrics;
  append(open: OpenDocument, update: Uint8Array, author: string | null): void;
  settle(acks: Acks, open: OpenDocument): void;
  rebuild(open: OpenDocument, error: unknown): void;
}

/** Whose edits they are. */
export interface Client {
  readonly open: OpenDocument;
  readonly connection: Connection;
  readonly user: string | null;
  readonly acks: Acks;
  /** Ends its session. */
  end(code: ErrorCode): void;
  /** Takes the document from it. */
  takeAway(code: ErrorCode): void;
}

/** An edit as it arrived. */
interface Arrived {
  readonly step: number;
  readonly update: Uint8Array;
  /** In milliseconds of `performance.now()`. */
  readonly since: number;
}

/**
 * Edits of one client in one document: checks and weighs them, applies them, has them logged, and owes their acks. Those that one
 * read of its socket has brought are applied together where they follow each other, as they do when a program
 * writes, or somebody was offline: a thousand of them are one transaction of Yjs, one row of the log, and one frame for everybody.
 */
export class ClientEdits {
  readonly #hub: ClientEditsHub;
  readonly #client: Client;
  readonly #origin: Origin;
  #arrived: Arrived[] = [];

  constructor(hub: ClientEditsHub, client: Client) {
    this.#hub = hub;
    this.#client = client;
    this.#origin = { source: 'connection', connection: client.connection };
  }

  /** Takes an edit, or an answer to what the server has asked for. It is applied when all is read that is there. */
  receive(step: number, update: Uint8Array): void {
    this.#hub.metrics.updatesIn.inc();
    this.#arrived.push({ step, update, since: performance.now() });
    if (this.#arrived.length === 1) process.nextTick(() => this.apply());
  }

  /** Applies what has arrived. Never throws. */
  apply(): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    for (let next = 0; next < arrived.length && !this.#isOver;) {
      const end = this.#applyTogether(arrived, next);
      if (end === next) this.#applyOne(arrived[next] as Arrived);
      next = Math.max(end, next + 1);
    }
  }

  get #isOver(): boolean {
    const { open, connection } = this.#client;
    return open.hasThrown || open.isSpoilt || !open.document.hasConnection(connection);
  }

  /**
   * Applies edits as one, up to the first that needs a closer look, or until they are large: a document that grows is weighed with the
   * rows that it has.
   * @param from - which of them is the first
   * @returns which is the next one
   */
  #applyTogether(arrived: readonly Arrived[], from: number): number {
    const { open, connection, acks } = this.#client;
    const [first, second] = [arrived[from], arrived[from + 1]];
    if (first === undefined || second === undefined || connection.readOnly || open.isWaitingForMore)
      return from;
    if (!this.#isPlain(first.update)) return from;
    const taken: Arrived[] = [];
    let bytes = 0;
    const take = () => {
      const next = arrived[from + taken.length];
      if (next === undefined || bytes > LARGE_BYTES || (next !== first && !this.#isPlain(next.update)))
        return null;
      taken.push(next);
      bytes += next.update.byteLength;
      return next.update;
    };
    let rows;
    try {
      rows = open.applyTogether(take, this.#origin);
    } catch (error) {
      // Those before it are sound.
      this.#log(
        taken.slice(0, -1).map(({ update }) => update.slice()),
        first.since,
      );
      this.#failed(error, false);
      return arrived.length;
    }
    this.#log(rows, first.since);
    for (const { since } of taken) acks.owe(open.due, since);
    this.#hub.settle(acks, open);
    return from + taken.length;
  }

  /** Whether an update needs no closer look than the check, and follows what the document has. */
  #isPlain(update: Uint8Array): boolean {
    // Whether the document has a large one already is seen from a snapshot of it, and it is being changed.
    if (update.byteLength > LARGE_BYTES) return false;
    const { open } = this.#client;
    try {
      const shape = checkUpdate(update, this.#hub.limits.update);
      return open.isNext(shape) && open.weigh(update, shape).refusal === null;
    } catch {
      return false;
    }
  }

  #applyOne({ step, update, since }: Arrived): void {
    const { open, connection } = this.#client;
    const shape = this.#check(update);
    if (shape === null) return;
    if (connection.readOnly) {
      if (step === SyncStep.Missing && open.contains(update)) this.#owe(since);
      else this.#refuse(since);
      return;
    }
    const edit = open.weigh(update, shape);
    const { refusal } = edit;
    if (refusal === 'bad_update') {
      this.#client.end(refusal);
      return;
    }
    if (refusal !== null) {
      this.#client.takeAway(refusal);
      return;
    }
    const news = this.#applyEdit(edit);
    if (news === 'failed') return;
    if (news !== null) this.#log([news], since);
    this.#owe(since);
  }

  #log(rows: readonly Uint8Array[], since: number): void {
    const { open, user } = this.#client;
    if (rows.length === 0) return;
    for (const row of rows) this.#hub.append(open, row, user);
    open.observeDelivery(since, this.#hub.metrics.deliverySeconds);
  }

  #owe(since: number): void {
    const { acks, open } = this.#client;
    acks.owe(open.due, since);
    this.#hub.settle(acks, open);
  }

  #refuse(since: number): void {
    const { acks, open } = this.#client;
    this.#hub.metrics.refused.inc({ code: 'read_only' });
    acks.oweRefusal(since);
    this.#hub.settle(acks, open);
  }

  #check(update: Uint8Array): UpdateShape | null {
    try {
      return checkUpdate(update, this.#hub.limits.update);
    } catch (error) {
      this.#hub.log.warn({ err: messageOf(error) }, 'an update is refused');
      this.#client.end('bad_update');
      return null;
    }
  }

  #applyEdit(edit: WeighedUpdate): Uint8Array | null | 'failed' {
    const { open, user } = this.#client;
    const { isWaitingForMore } = open;
    if (edit.isClaimed) {
      this.#hub.metrics.claimedClocks.inc();
      this.#hub.log.warn(
        { document: open.name, user },
        'an edit has clocks that something else has taken; it is logged, and hidden by that',
      );
    }
    try {
      return open.apply(edit, this.#origin);
    } catch (error) {
      this.#failed(error, isWaitingForMore);
      return 'failed';
    }
  }

  /**
   * Final for its sender, who would only send it again. But it may have brought the predecessors of somebody else's update, and
   * that one threw.
   */
  #failed(error: unknown, isWaitingForMore: boolean): void {
    if (!isWaitingForMore) this.#client.end('bad_update');
    this.#hub.rebuild(this.#client.open, error);
  }
}
