import * as Y from 'yjs';
import { isDocumentName, isUserId } from '../auth/names.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { DocumentIndex } from '../storage/document-index.ts';
import type { DocumentStore } from '../storage/document-store.ts';
import { isTransient } from '../storage/sql-errors.ts';
import { applyStored } from '../storage/stored-document.ts';
import { DocumentCopy } from './content.ts';
import type { ChangeOptions, DocumentList, DocumentListener, Documents, ListOptions } from './documents.ts';
import type { Hold } from './hold.ts';
import { firstUpdateOf, type FirstContent } from './on-load.ts';
import type { OpenDocument } from './open-document.ts';
import { Subscription } from './subscription.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';

const PAGE = 100;
const MAX_PAGE = 1_000;

/** What documents need of the hub. */
export interface DocumentHub {
  readonly limits: { readonly update: UpdateLimits; readonly document: { readonly documentBytes: number } };
  readonly log: Log;
  /** Whether nothing is committed at the moment. */
  readonly isFailing: boolean;
  opened(name: string): OpenDocument | undefined;
  hold(name: string): Promise<Hold>;
  append(open: OpenDocument, update: Uint8Array, author: string | null): void;
  rebuild(open: OpenDocument, error: unknown): void;
  readonly relay: { tellStored(name: string, update: Uint8Array): void };
}

/** {@link Documents}, beside the connections of people. */
export class ProgramDocuments implements Documents {
  readonly #hub: DocumentHub;
  readonly #store: DocumentStore;
  readonly #index: DocumentIndex;
  readonly #isDatabaseThere: () => Promise<boolean>;

  constructor(options: {
    hub: DocumentHub;
    store: DocumentStore;
    index: DocumentIndex;
    isDatabaseThere: () => Promise<boolean>;
  }) {
    this.#hub = options.hub;
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
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) throw new IndelibleError('bad_limit');
    await this.#demandDatabase();
    // No name has what Postgres cannot take.
    if (`${prefix}${cursor}`.includes('\0')) return { names: [], cursor: null };
    const names = await orUnavailable(this.#index.names(prefix, cursor, limit + 1));
    const page = names.slice(0, limit);
    return { names: page, cursor: names.length > limit ? (page.at(-1) ?? null) : null };
  }

  async create(
    name: string,
    { content }: { readonly content?: FirstContent | undefined } = {},
  ): Promise<void> {
    refuseBadName(name);
    const update = content === undefined ? null : this.#firstUpdate(content);
    await this.#demandDatabase();
    if (!(await orUnavailable(this.#store.create(name, update)))) throw new IndelibleError('document_exists');
    if (update !== null) this.#hub.relay.tellStored(name, update);
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
    { user = null }: { readonly user?: string | null | undefined },
    change: (open: OpenDocument, user: string | null) => T,
  ): Promise<Awaited<T>> {
    refuseBadName(name);
    if (user !== null && !isUserId(user)) throw new IndelibleError('bad_user');
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
    const { update: limits, document } = this.#hub.limits;
    try {
      const update = firstUpdateOf(content, limits).slice();
      if (update.byteLength > document.documentBytes) throw new IndelibleError('document_too_large');
      return update;
    } catch (error) {
      if (error instanceof IndelibleError) throw error;
      throw new IndelibleError('bad_update', messageOf(error), { cause: error });
    }
  }

  /** Rows that cannot be applied are set aside, as when it is opened. */
  async #readStored(name: string): Promise<DocumentCopy | null> {
    for (;;) {
      const stored = await orUnavailable(this.#store.read(name));
      if (stored === null) return null;
      const doc = new Y.Doc();
      try {
        applyStored(doc, stored);
        return new DocumentCopy(doc);
      } catch (error) {
        await orUnavailable(this.#store.setAsideUnreadable(name, stored, error));
      }
    }
  }

  async #demandDatabase(): Promise<void> {
    if (!(await this.#isDatabaseThere())) throw new IndelibleError('database_unavailable');
  }
}

/** @throws {@link IndelibleError} `database_unavailable` when the database is away */
async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof IndelibleError || !isTransient(error)) throw error;
    throw new IndelibleError('database_unavailable', undefined, { cause: error });
  }
}

function refuseBadName(name: string): void {
  if (!isDocumentName(name)) throw new IndelibleError('bad_name');
}

/** For Hocuspocus, and for the log. */
function originOf(user: string | null) {
  return { source: 'local', context: { user } } as const;
}
