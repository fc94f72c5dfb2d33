import type * as Y from 'yjs';
import type { DocumentCopy } from './content.ts';
import type { FirstContent } from './on-load.ts';

/** Who makes a change. */
export interface ChangeOptions {
  /** The author that the update log names; nobody when left out. */
  readonly user?: string | undefined;
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
 * nothing was touched; `document_unavailable` when what is stored cannot be read; `draining` when the server closes.
 */
export interface Documents {
  /**
   * A copy of a document: with everything that people at this instance see if it is open here, else as it is committed. Reading
   * one that nobody has open leaves nothing in memory.
   * @returns `null` when there is no such document
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
   * People who have it open are sent the content.
   * @throws {@link IndelibleError} `document_exists`; `bad_update` when the content is no update that Yjs can apply
   */
  create(name: string, options?: { readonly content?: FirstContent | undefined }): Promise<void>;

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
