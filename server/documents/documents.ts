import type * as Y from 'yjs';
import type { ConnectionInfo } from '../cluster/cluster.ts';
import type { DocumentStatistics } from '../storage/document-statistics.ts';
import type { DocumentCopy } from './content.ts';
import type { FirstContent } from './on-load.ts';

/** Who makes a change. */
export interface ChangeOptions {
  /** The author that the update log names; nobody when left out. */
  readonly user?: string | null | undefined;
}

/** How a document is created. */
export interface CreateOptions extends ChangeOptions {
  readonly content?: FirstContent | undefined;
}

/** Which documents to list. */
export interface ListOptions {
  /** What their names begin with. */
  readonly prefix?: string | undefined;
  /** The one that the page before gave; the first page when left out. */
  readonly cursor?: string | undefined;
  /** At most so many, 1 to 1,000; 100 when left out. */
  readonly limit?: number | undefined;
}

/** A page of a list. */
export interface DocumentList {
  /** In the order of their bytes. */
  readonly names: readonly string[];
  /** For the next page; `null` on the last one. */
  readonly cursor: string | null;
}

/** A change of a document. */
export interface DocumentChange {
  /** The Yjs update; all of the document after it was rebuilt from storage. */
  readonly update: Uint8Array;
  /** The live document, to be read only. */
  readonly doc: Y.Doc;
}

/** Is told of changes. */
export type DocumentListener = (change: DocumentChange) => unknown;

/**
 * Documents, for programs that run in the server's process. They see what people see, people see what they do at once, at every
 * instance, and what has resolved is committed.
 *
 * Every method rejects with an {@link IndelibleError}: `bad_name`; `database_unavailable` when the database is known to be away, and then
 * nothing was touched; `outcome_unknown` when it fell silent while it did what was asked; `document_unavailable` when what is stored
 * cannot be read; `document_deleted` where a document would be opened that was; `draining` when the server closes.
 */
export interface Documents {
  /**
   * A copy of a document: with everything that people at this instance see if it is open here, else as it is committed. Reading
   * one that nobody has open leaves nothing in memory.
   * @returns `null` when there is no such document, or it was deleted
   */
  read(name: string): Promise<DocumentCopy | null>;

  /** Whether a document is stored. One that people have opened is when the first edit is committed. */
  exists(name: string): Promise<boolean>;

  /**
   * The names of stored documents.
   * @throws {@link IndelibleError} `bad_limit`
   */
  list(options?: ListOptions): Promise<DocumentList>;

  /**
   * Creates a document, blank or with its first content. Of several programs that try at once, at whatever instances, one does.
   * People who have it open are sent the content. A document that was deleted under this name stays what it is.
   * @throws {@link IndelibleError} `document_exists`; `bad_update` when the content is no update that Yjs can apply; `bad_user`
   */
  create(name: string, options?: CreateOptions): Promise<void>;

  /**
   * Creates a document with what another one holds.
   * @throws {@link IndelibleError} `document_missing`, `document_exists`, `bad_user`
   */
  duplicate(name: string, to: string, options?: ChangeOptions): Promise<void>;

  /**
   * Gives a document another name. Connections to it close with 4404, and the old name opens nothing until a document is created under
   * it, so that nobody's copy gets there by accident; who opens the new name brings what they typed meanwhile.
   * @throws {@link IndelibleError} `document_missing`, `document_exists`
   */
  rename(name: string, to: string): Promise<void>;

  /**
   * Deletes a document. Connections to it close with 4404, and its name opens nothing until it is restored or another one is created,
   * so that nobody's copy brings it back by accident. It can be restored for as long as KEEP_DELETED_HOURS says.
   * @throws {@link IndelibleError} `document_missing`
   */
  delete(name: string): Promise<void>;

  /**
   * Brings the document back that was deleted last under this name.
   * @throws {@link IndelibleError} `document_missing` when there is none that can be, `document_exists`
   */
  restore(name: string): Promise<void>;

  /**
   * Deletes a document, and those that were deleted under its name, with all that is stored of them. (What a database keeps besides is
   * up to whoever runs it: space that was not vacuumed, archived logs, backups.)
   * @throws {@link IndelibleError} `document_missing`
   */
  erase(name: string): Promise<void>;

  /** Who is connected to a document, at all instances. */
  connections(name: string): Promise<ConnectionInfo[]>;

  /** What is stored of a document; `null` when there is no such document. */
  statistics(name: string): Promise<DocumentStatistics | null>;

  /**
   * Changes a document in one transaction: everybody who has it open, at whatever instance, sees the change at once. The document is created if
   * there is none.
   * @param change - is given the live document. What a promise that it returns does before it is settled are transactions of their
   * own, and waited for. What it did before it threw stays, as in any transaction of Yjs.
   * @returns what `change` returned, when everything is committed that the document held when it had
   * @throws what `change` throws; {@link IndelibleError} `bad_user`; `document_reset` when the document is dropped from memory before the
   * change is committed: then it may be lost
   */
  transact<T>(name: string, change: (doc: Y.Doc) => T, options?: ChangeOptions): Promise<Awaited<T>>;

  /**
   * Applies a Yjs update, as one that a client sends: checked, and kept where edits that it builds on are missing.
   * @returns when it is committed
   * @throws {@link IndelibleError} `bad_update`, `document_too_large`, `too_much_pending`, and nothing is changed; `bad_user`;
   * `document_reset` as {@link transact}
   */
  applyUpdate(name: string, update: Uint8Array, options?: ChangeOptions): Promise<void>;

  /**
   * Tells of every change of a document from now on, whoever makes it, at whatever instance. Keeps the document in memory until it
   * is ended by what this returns, or the server closes, or the document cannot be opened again after it was rebuilt, which is logged.
   * @param listener - called synchronously; what it throws, or its promise, is logged
   */
  subscribe(name: string, listener: DocumentListener): Promise<() => void>;
}
