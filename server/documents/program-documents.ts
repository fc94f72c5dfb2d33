import * as Y from 'yjs';
import { isDocumentName, isUserId } from '../auth/names.ts';
import type { Cluster, ConnectionInfo } from '../cluster/cluster.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { DocumentIndex } from '../storage/document-index.ts';
import type { DocumentStatistics } from '../storage/document-statistics.ts';
import type { DocumentStore } from '../storage/document-store.ts';
import type { RequestRecord } from '../storage/requests.ts';
import { orUnavailable } from '../storage/sql-errors.ts';
import { DocumentCopy } from './content.ts';
import type {
  ChangeOptions,
  CreateOptions,
  DocumentList,
  DocumentListener,
  Documents,
  ListOptions,
} from './documents.ts';
import { Edits, originOf, type EditHub, type EditOptions, type Edited } from './edits.ts';
import type { Hold } from './hold.ts';
import { firstUpdateOf, type ContentLimits, type FirstContent } from './on-load.ts';
import type { OpenDocument } from './open-document.ts';
import type { Remover } from './remover.ts';
import { Subscription } from './subscription.ts';
import { checkUpdate } from './update-check.ts';

const PAGE = 100;
const MAX_PAGE = 1_000;

/** What documents need of the hub. */
export interface DocumentHub extends EditHub {
  readonly limits: ContentLimits;
  readonly log: Log;
  opened(name: string): OpenDocument | undefined;
  hold(name: string): Promise<Hold>;
  connectionsTo(name: string): ConnectionInfo[];
  readonly relay: EditHub['relay'] & {
    tellStored(name: string, update: Uint8Array): void;
    mayBeStored(name: string): void;
  };
}

/** What is recorded with a change. */
export interface RecordedOptions {
  readonly request?: RequestRecord | undefined;
}
export type RecordedCreateOptions = CreateOptions & RecordedOptions;

/** {@link Documents}, beside the connections of people. */
export class ProgramDocuments implements Documents {
  readonly #hub: DocumentHub;
  readonly #store: DocumentStore;
  readonly #index: DocumentIndex;
  readonly #remover: Remover;
  readonly #cluster: Cluster;
  readonly #edits: Edits;
  readonly #isDatabaseThere: () => Promise<boolean>;

  constructor(options: {
    hub: DocumentHub;
    store: DocumentStore;
    index: DocumentIndex;
    remover: Remover;
    cluster: Cluster;
    isDatabaseThere: () => Promise<boolean>;
  }) {
    this.#hub = options.hub;
    this.#edits = new Edits(options.hub);
    this.#remover = options.remover;
    this.#cluster = options.cluster;
    this.#store = options.store;
    this.#index = options.index;
    this.#isDatabaseThere = options.isDatabaseThere;
  }

  async read(name: string): Promise<DocumentCopy | null> {
    refuseBadName(name);
    const open = this.#hub.opened(name);
    if (open !== undefined && (open.hasContent || (await this.exists(name))))
      return DocumentCopy.of(open.document);
    await this.#demandDatabase();
    return this.#readStored(name);
  }

  async exists(name: string): Promise<boolean> {
    refuseBadName(name);
    await this.#demandDatabase();
    return orUnavailable(this.#index.has(name));
  }

  async list({ prefix = '', cursor = '', limit = PAGE }: ListOptions = {}): Promise<DocumentList> {
    if (!isCount(limit, 1, MAX_PAGE)) throw new IndelibleError('bad_limit');
    await this.#demandDatabase();
    // No name has what Postgres cannot take.
    if (`${prefix}${cursor}`.includes('\0')) return { names: [], cursor: null };
    const names = await orUnavailable(this.#index.names(prefix, cursor, limit + 1));
    const page = names.slice(0, limit);
    return { names: page, cursor: names.length > limit ? (page.at(-1) ?? null) : null };
  }

  /** Where a name is in the list, without saying it. */
  placeOf(name: string): Promise<string | null> {
    return orUnavailable(this.#index.placeOf(name));
  }

  /** The name that is there; `null` when that was deleted or renamed since. */
  nameAt(place: string): Promise<string | null> {
    return orUnavailable(this.#index.nameAt(place));
  }

  async create(name: string, { content, user, request }: RecordedCreateOptions = {}): Promise<void> {
    refuseBadName(name);
    const author = authorOf(user);
    const update = content === undefined ? null : this.#firstUpdate(content);
    await this.#demandDatabase();
    const isNew = await this.#orInDoubt(name, this.#store.create(name, update, { author, request }));
    if (!isNew) throw new IndelibleError('document_exists');
    if (update !== null) this.#hub.relay.tellStored(name, update);
  }

  async duplicate(name: string, to: string, options: ChangeOptions & RecordedOptions = {}): Promise<void> {
    refuseBadName(to);
    const copy = await this.read(name);
    if (copy === null) throw new IndelibleError('document_missing');
    await this.create(to, { ...options, content: copy.doc });
  }

  async rename(name: string, to: string, { request }: RecordedOptions = {}): Promise<void> {
    refuseBadName(name);
    refuseBadName(to);
    await this.#demandDatabase();
    if (name === to) {
      if (!(await this.exists(name))) throw new IndelibleError('document_missing');
      return;
    }
    await orUnavailable(this.#remover.rename(name, to, request));
  }

  async delete(name: string, { request }: RecordedOptions = {}): Promise<void> {
    refuseBadName(name);
    await this.#demandDatabase();
    await orUnavailable(this.#remover.delete(name, request));
  }

  async restore(name: string, { request }: RecordedOptions = {}): Promise<void> {
    refuseBadName(name);
    await this.#demandDatabase();
    await orUnavailable(this.#remover.restore(name, request));
  }

  async erase(name: string, { request }: RecordedOptions = {}): Promise<void> {
    refuseBadName(name);
    await this.#demandDatabase();
    await orUnavailable(this.#remover.erase(name, request));
  }

  async connections(name: string): Promise<ConnectionInfo[]> {
    refuseBadName(name);
    const elsewhere = await this.#cluster.connectionsTo(name);
    return [...this.#hub.connectionsTo(name), ...elsewhere];
  }

  async statistics(name: string): Promise<DocumentStatistics | null> {
    refuseBadName(name);
    await this.#demandDatabase();
    return orUnavailable(this.#index.statistics(name));
  }

  /** Why there is no document of this name. */
  async whyMissing(name: string): Promise<IndelibleError> {
    const isDeleted = await orUnavailable(this.#store.isDeleted(name));
    return new IndelibleError(isDeleted ? 'document_deleted' : 'document_missing');
  }

  /**
   * Edits a stored document in one transaction, which everybody sees when it is committed; see {@link Edits.make}.
   * @throws also {@link IndelibleError} `document_missing`
   */
  async edit(name: string, edit: ((doc: Y.Doc) => void) | Uint8Array, options: EditOptions): Promise<Edited> {
    await this.#demandStored(name);
    return this.#edits.make(await this.#hold(name), edit, options);
  }

  async transact<T>(
    name: string,
    change: (doc: Y.Doc) => T,
    options: ChangeOptions = {},
  ): Promise<Awaited<T>> {
    return this.#change(name, options, ({ document }, user) =>
      document.transact(() => change(document), originOf(user)),
    );
  }

  async applyUpdate(name: string, update: Uint8Array, options: ChangeOptions = {}): Promise<void> {
    // Its owner may write to it while this waits.
    const bytes = update.slice();
    const shape = checkUpdate(bytes, this.#hub.limits.update);
    await this.#change(name, options, (open, user) => {
      const edit = open.weigh(bytes, shape);
      if (edit.refusal !== null) throw new IndelibleError(edit.refusal);
      const news = this.#apply(open, () => open.apply(edit, originOf(user)));
      if (news !== null) this.#hub.append(open, news, user);
    });
  }

  async subscribe(name: string, listener: DocumentListener): Promise<() => void> {
    refuseBadName(name);
    await this.#demandDatabase();
    return Subscription.begin(this.#hub, name, listener);
  }

  async #change<T>(
    name: string,
    options: ChangeOptions,
    change: (open: OpenDocument, user: string | null) => T,
  ): Promise<Awaited<T>> {
    refuseBadName(name);
    const user = authorOf(options.user);
    // Who has it open need not ask the database whether it is there.
    if (this.#hub.opened(name) === undefined) await this.#demandDatabase();
    else if (this.#hub.isFailing) throw new IndelibleError('database_unavailable');
    const hold = await this.#hold(name);
    try {
      // What a promise of it does before it is settled is waited for, too, and its error is this one's.
      const result = await change(hold.open, user);
      await hold.committed();
      return result;
    } finally {
      hold.release();
    }
  }

  /** One that is not lost: who waited for the same document may have had it dropped, a moment ago. */
  async #hold(name: string): Promise<Hold> {
    for (;;) {
      const hold = await this.#hub.hold(name);
      if (!hold.isOver) return hold;
    }
  }

  /** What throws may have been applied in part; or it brought the predecessors of somebody else's update, which throws. */
  #apply<T>(open: OpenDocument, work: () => T): T {
    const { isWaitingForMore } = open;
    try {
      return work();
    } catch (error) {
      this.#hub.rebuild(open, error);
      throw new IndelibleError(isWaitingForMore ? 'document_reset' : 'bad_update', undefined, {
        cause: error,
      });
    }
  }

  #firstUpdate(content: FirstContent): Uint8Array {
    try {
      return firstUpdateOf(content, this.#hub.limits).slice();
    } catch (error) {
      if (error instanceof IndelibleError) throw error;
      throw new IndelibleError('bad_update', messageOf(error), { cause: error });
    }
  }

  /** Who has the document open is to see it also where it is not known whether it is stored. */
  async #orInDoubt<T>(name: string, work: Promise<T>): Promise<T> {
    try {
      return await orUnavailable(work);
    } catch (error) {
      if (error instanceof IndelibleError && error.code === 'outcome_unknown')
        this.#hub.relay.mayBeStored(name);
      throw error;
    }
  }

  /** Rows that cannot be applied are set aside, as when it is opened. */
  async #readStored(name: string): Promise<DocumentCopy | null> {
    for (;;) {
      const stored = await orUnavailable(this.#store.readUnlessDeleted(name));
      if (stored === null) return null;
      const doc = new Y.Doc();
      try {
        await this.#store.load(doc, stored);
        return new DocumentCopy(doc);
      } catch (error) {
        await orUnavailable(this.#store.setAsideUnreadable(name, stored, error));
      }
    }
  }

  async #demandStored(name: string): Promise<void> {
    refuseBadName(name);
    await this.#demandDatabase();
    const isThere = this.#hub.opened(name)?.hasContent === true || (await this.exists(name));
    if (!isThere) throw await this.whyMissing(name);
  }

  async #demandDatabase(): Promise<void> {
    if (!(await this.#isDatabaseThere())) throw new IndelibleError('database_unavailable');
  }
}

function isCount(number: number, least: number, most: number): boolean {
  return Number.isInteger(number) && number >= least && number <= most;
}

function refuseBadName(name: string): void {
  if (!isDocumentName(name)) throw new IndelibleError('bad_name');
}

function authorOf(user: string | null | undefined): string | null {
  if (user === undefined || user === null) return null;
  if (!isUserId(user)) throw new IndelibleError('bad_user');
  return user;
}
