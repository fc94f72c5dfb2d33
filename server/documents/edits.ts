import type * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';
import { withDeadline } from '../lifecycle.ts';
import type { KeyedRequest, RequestRecord } from '../storage/requests.ts';
import { isDurable, type Durable } from './acks.ts';
import { versionOf } from './content.ts';
import { Draft } from './draft.ts';
import type { Hold } from './hold.ts';
import type { OpenDocument } from './open-document.ts';
import { isUnknownPosition } from './operations.ts';
import type { Attribution } from './pending-edits.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';
import type { WeighedUpdate } from './weighed-update.ts';

/** Who waits for a commit is told after this time that it has not come yet. */
const COMMIT_MS = 5_000;

/** What edits need of the hub. */
export interface EditHub {
  readonly limits: { readonly update: UpdateLimits };
  readonly isFailing: boolean;
  /** What of a document is committed. */
  durable(open: OpenDocument): Durable;
  append(open: OpenDocument, update: Uint8Array, author: string | null): void;
  write(open: OpenDocument, update: Uint8Array, author: string | null, request?: KeyedRequest): void;
  rebuild(open: OpenDocument, error: unknown): void;
  readonly relay: {
    tell(open: OpenDocument, update: Uint8Array): void;
    tellRequest(open: OpenDocument, update: Uint8Array, attribution: Attribution): void;
    takeOver(open: OpenDocument): void;
    refresh(open: OpenDocument): Promise<void>;
  };
}

/** How an edit is to be made. */
export interface EditOptions {
  readonly user: string | null;
  /**
   * Whether the document may be changed in this version.
   * @see versionOf
   */
  readonly expects?: ((version: string) => boolean) | undefined;
  /** What it is asked with, if that may be tried again. */
  readonly request?: EditRequest | undefined;
}

/** A request for an edit. */
interface EditRequest extends Pick<RequestRecord, 'user' | 'key'> {
  /** What is recorded with the edit, given the version that the document has with it. */
  record(version: string): RequestRecord;
}

/** What became of an edit. */
export interface Edited {
  /** Of the document, with the edit. */
  readonly version: string;
  /** Whether its request is recorded: not where there was nothing to change. */
  readonly isRecorded: boolean;
  /** Nothing was changed, since there is another attempt at its request that has been recorded. */
  readonly isRepeated: boolean;
}

/** Edits of programs that are committed before they are seen; see {@link Draft}. */
export class Edits {
  readonly #hub: EditHub;
  readonly #drafts = new WeakMap<OpenDocument, Draft>();

  constructor(hub: EditHub) {
    this.#hub = hub;
  }

  /**
   * Edits a document in one transaction.
   * @param hold - is let go
   * @param edit - changes a copy; or a Yjs update
   * @throws what `edit` throws; {@link IndelibleError} `document_changed`, `document_too_large`, `too_much_pending`, `bad_update`,
   * `document_busy`, `database_unavailable`, and nothing is changed; `commit_pending`; `document_reset`, `document_deleted`, and then
   * it may be lost
   */
  async make(hold: Hold, edit: ((doc: Y.Doc) => void) | Uint8Array, options: EditOptions): Promise<Edited> {
    const draft = this.#draftOf(hold.open);
    const make = () => draft.inTurn(() => this.#make(hold, draft, edit, options));
    try {
      return await make();
    } catch (error) {
      if (!isUnknownPosition(error)) throw error;
      // What another instance has told a position in may be on its way.
      await this.#hub.relay.refresh(hold.open);
      return await make();
    } finally {
      hold.release();
    }
  }

  #draftOf(open: OpenDocument): Draft {
    const draft = this.#drafts.get(open) ?? new Draft(open);
    this.#drafts.set(open, draft);
    return draft;
  }

  async #make(
    hold: Hold,
    draft: Draft,
    edit: ((doc: Y.Doc) => void) | Uint8Array,
    options: EditOptions,
  ): Promise<Edited> {
    const { open } = hold;
    if (hold.isOver) await hold.committed();
    if (options.request !== undefined && open.pending.has(options.request)) return this.#pending(hold);
    if (this.#hub.isFailing) throw new IndelibleError('database_unavailable');
    if (options.expects?.(versionOf(open.document)) === false) throw new IndelibleError('document_changed');
    const update =
      edit instanceof Uint8Array ? this.#take(open, draft, edit) : this.#change(open, draft, edit);
    const version = versionOf(draft.doc);
    if (update === null) {
      // It is said to be committed, and may be what somebody else has just done.
      await this.#commit(hold);
      return { version, isRecorded: false, isRepeated: false };
    }
    let [isRepeated, isLive] = [false, false];
    const onRepeated = () => {
      isRepeated = true;
      if (!isLive) draft.discard();
      return isLive;
    };
    const record = options.request?.record(version);
    this.#hub.write(open, update, options.user, record && { record, onRepeated });
    const isRecorded = record !== undefined;
    const outcome = await this.#outcome(hold, record);
    if (outcome === 'elsewhere') {
      // So this attempt will not be written.
      draft.discard();
      isRepeated = true;
    }
    if (isRepeated) return { version, isRecorded, isRepeated };
    isLive = true;
    this.#goLive(open, draft, update, options.user, record);
    if (outcome === 'late') throw new IndelibleError('commit_pending');
    return { version, isRecorded, isRepeated };
  }

  /** What becomes of an edit that is in the log; `elsewhere` when its request was tried at another instance, too, which has committed it. */
  async #outcome(hold: Hold, record: RequestRecord | undefined): Promise<'done' | 'late' | 'elsewhere'> {
    const { open } = hold;
    if (record === undefined) return isIn(hold.committed(), COMMIT_MS);
    const trial = open.pending.trying(record);
    try {
      const outcome = await isIn(hold.committed(), COMMIT_MS);
      const { elsewhere } = trial;
      const isDone = elsewhere !== undefined && isDurable(elsewhere, this.#hub.durable(open));
      return outcome === 'late' && isDone ? 'elsewhere' : outcome;
    } finally {
      open.pending.tried(record);
    }
  }

  /** It was done here or at another instance, and was not committed in time. */
  async #pending(hold: Hold): Promise<Edited> {
    this.#hub.relay.takeOver(hold.open);
    await this.#commit(hold);
    return { version: versionOf(hold.open.document), isRecorded: true, isRepeated: true };
  }

  async #commit(hold: Hold): Promise<void> {
    if ((await isIn(hold.committed(), COMMIT_MS)) === 'late') throw new IndelibleError('commit_pending');
  }

  /** @returns the update; `null` when it brings nothing new. What waits for others fires no event, and is news. */
  #take(open: OpenDocument, draft: Draft, bytes: Uint8Array): Uint8Array | null {
    // What something else hides that has its clocks is logged all the same.
    if (!this.#weigh(open, bytes).isClaimed && open.contains(bytes)) return null;
    try {
      return draft.take(bytes);
    } catch (error) {
      throw new IndelibleError('bad_update', undefined, { cause: error });
    }
  }

  /** @returns the update; `null` when nothing has changed */
  #change(open: OpenDocument, draft: Draft, edit: (doc: Y.Doc) => void): Uint8Array | null {
    const update = draft.change(edit);
    try {
      if (update !== null) this.#weigh(open, update);
      return update;
    } catch (error) {
      draft.discard();
      throw error;
    }
  }

  /** @throws {@link IndelibleError} why it cannot be taken in */
  #weigh(open: OpenDocument, update: Uint8Array): WeighedUpdate {
    const weighed = open.weigh(update, checkUpdate(update, this.#hub.limits.update));
    if (weighed.refusal !== null) throw new IndelibleError(weighed.refusal);
    return weighed;
  }

  /** Everybody sees it, here and at other instances. */
  #goLive(
    open: OpenDocument,
    draft: Draft,
    update: Uint8Array,
    user: string | null,
    record: RequestRecord | undefined,
  ): void {
    let events = 0;
    const count = () => (events += 1);
    open.document.on('update', count);
    try {
      const edit = open.weigh(update, checkUpdate(update, this.#hub.limits.update));
      const news = open.apply(edit, originOf(user));
      // Yjs takes away formatting that an edit has made redundant, in a transaction of its own, which is in no log yet.
      const isFollowed = events > 1 && news !== null;
      if (record !== undefined) this.#hub.relay.tellRequest(open, update, { author: user, record });
      else if (!isFollowed) this.#hub.relay.tell(open, update);
      if (isFollowed) this.#hub.append(open, news, user);
    } catch (error) {
      draft.discard();
      this.#hub.rebuild(open, error);
      throw new IndelibleError('document_reset', undefined, { cause: error });
    } finally {
      open.document.off('update', count);
    }
  }
}

/** Of what a program changes: for Hocuspocus, and for the log. */
export function originOf(user: string | null) {
  return { source: 'local', context: { user } } as const;
}

/** @throws what `work` throws in time */
async function isIn(work: Promise<void>, ms: number): Promise<'done' | 'late'> {
  const settled = work.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  let failure: { error: unknown } | undefined;
  const outcome = await withDeadline(
    settled.then((result) => (failure = result)),
    ms,
  );
  if (failure !== undefined) throw failure.error;
  return outcome;
}
