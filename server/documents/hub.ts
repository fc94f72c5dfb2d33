import * as Y from 'yjs';
import type { Access, Decision } from '../auth/access.ts';
import type { Cluster, ConnectionInfo, ConnectionsOf, Deletion } from '../cluster/cluster.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Wire } from '../protocol/wire.ts';
import type { DocumentStore } from '../storage/document-store.ts';
import type { KeyedRequest } from '../storage/requests.ts';
import { isTransient } from '../storage/sql-errors.ts';
import type { StoredDocument } from '../storage/stored-document.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { Acks, Durable } from './acks.ts';
import { Hold, type HoldHub } from './hold.ts';
import {
  Host,
  LoadAgain,
  NO_REQUEST,
  Refusal,
  loadQuietly,
  type ClientConnection,
  type Document,
  type Extension,
} from './host.ts';
import { firstUpdateOf, type OnLoad } from './on-load.ts';
import { OpenDocument, type DocumentLimits } from './open-document.ts';
import { Relay, type RelayHub } from './relay.ts';
import { Session, type HubSocket, type SessionHub, type SessionLimits } from './session.ts';
import { Turns } from './turns.ts';
import { WaitingRoom } from './waiting-frames.ts';

/** Pause between attempts to load a document while the database is away; doubled each time up to the maximum. */
const LOAD_RETRY_MS = 100;
const LOAD_RETRY_MAX_MS = 1_000;

/** Bounds; see the settings of the same names. */
export interface HubLimits extends SessionLimits {
  /** Of frames that wait for documents that are opening, of all sockets together. */
  readonly allWaitingBytes: number;
  readonly document: DocumentLimits;
}

export interface HubOptions {
  readonly store: DocumentStore;
  readonly updateLog: UpdateLog;
  readonly cluster: Cluster;
  readonly access: Access;
  readonly onLoad: OnLoad | undefined;
  /** Access was taken back at another instance, which has stored that. */
  readonly onRevoked: () => void;
  /** A document was deleted at another instance. */
  readonly onDeleted: () => void;
  readonly limits: HubLimits;
  readonly counts: Limits;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface SessionContext {
  readonly session: Session;
  readonly grant?: Decision;
}

/** Where connections, documents and the update log meet. */
export class Hub implements SessionHub, RelayHub, HoldHub {
  readonly limits: HubLimits;
  readonly counts: Limits;
  readonly access: Access;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly turns = new Turns();
  readonly waitingRoom: WaitingRoom;
  readonly relay: Relay;
  readonly #options: HubOptions;
  readonly #host: Host;
  readonly #documents = new Map<string, OpenDocument>();
  /** Acks that are due later, and of which document. */
  readonly #owed = new Map<Acks, OpenDocument>();
  /** Being loaded, and since when. */
  readonly #loading = new Map<string, number>();
  /** Of these rows were set aside while they were being loaded. */
  readonly #damaged = new Set<string>();
  /** Something was deleted under these names while they were being loaded; and whether it was the document with an id. */
  readonly #deleted = new Map<string, (id: string) => boolean>();
  /** Of programs. */
  readonly #holds = new Set<Hold>();
  readonly #retiring = new Map<string, { gone: Promise<void>; resolve: () => void }>();
  #isClosed = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.limits = options.limits;
    this.counts = options.counts;
    this.waitingRoom = new WaitingRoom(options.limits.allWaitingBytes);
    this.access = options.access;
    this.log = options.log;
    this.metrics = options.metrics;
    this.relay = new Relay(options.cluster, this);
    options.store.onSetAside((name) => this.#onDamage(name));
    this.#host = new Host({
      extension: this.#hooks(),
      documentsPerSocket: options.limits.documents,
      mustStay: (name) => options.updateLog.isWaiting(name),
      retiring: (name) => this.#retiring.get(name)?.gone,
      onError: (error, stage) => this.log.error({ err: error, stage }, 'Hocuspocus failed'),
    });
  }

  /** A new socket. Frames go to `receive` of the session, its end to `closed`. */
  connect(socket: HubSocket, wire: Wire): Session {
    return new Session(this, socket, wire);
  }

  /** Tells Hocuspocus about a session; called by its constructor. */
  register(session: Session): ClientConnection {
    const socket = {
      send: (frame: unknown) => session.send(frame as Uint8Array),
      // What makes it close a socket never reaches it, and its codes are none that a client knows.
      close: () => session.end('internal_error'),
      get readyState() {
        return session.readyState;
      },
    };
    return this.#host.handleConnection(socket, NO_REQUEST, { session } satisfies SessionContext);
  }

  /**
   * Has a document in memory for a program, until it lets it go, or the document is rebuilt from storage.
   * @throws {@link IndelibleError} why the document cannot be opened
   */
  async hold(name: string): Promise<Hold> {
    while (!this.#isClosed) {
      const unpin = await this.#pin(name);
      const open = this.opened(name);
      if (open !== undefined && !this.#isClosed) {
        const hold: Hold = new Hold(this, open, () => {
          this.#holds.delete(hold);
          unpin();
        });
        this.#holds.add(hold);
        return hold;
      }
      // It is being rebuilt; the next one waits for that.
      unpin();
    }
    throw new IndelibleError('draining');
  }

  async #pin(name: string): Promise<() => void> {
    try {
      return await this.#host.pin(name);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new IndelibleError(codeOf(error.cause), undefined, { cause: error.cause });
    }
  }

  /** Ends the connections whose access has been taken back. */
  endRevoked(): void {
    for (const { name, document } of this.#documents.values()) {
      for (const { context } of document.getConnections()) {
        (context as SessionContext).session.endRevoked(name);
      }
    }
  }

  /** Closes connections, whose clients may come back. */
  disconnect({ document: name, user }: ConnectionsOf): void {
    for (const open of this.#documents.values()) {
      if (name !== undefined && name !== open.name) continue;
      for (const { context } of open.document.getConnections())
        (context as SessionContext).session.disconnect(open.name, user);
    }
  }

  /** Who is connected to a document at this instance. */
  connectionsTo(name: string): ConnectionInfo[] {
    const connections = this.#documents.get(name)?.document.getConnections() ?? [];
    const sessions = new Set(connections.map(({ context }) => (context as SessionContext).session));
    return [...sessions].flatMap((session) => session.connectionsTo(name));
  }

  onRevoked(): void {
    this.#options.onRevoked();
  }

  onDeleted(): void {
    this.#options.onDeleted();
  }

  /** Another instance has deleted a document, or renamed it, and stored that. */
  deletedElsewhere({ document, id, to }: Deletion): void {
    this.deleted(document, (open) => open === id);
    if (to !== undefined) this.renamed(to);
    this.onDeleted();
  }

  opened(name: string): OpenDocument | undefined {
    const open = this.#documents.get(name);
    return open?.isSpoilt === true ? undefined : open;
  }

  documents(): Iterable<OpenDocument> {
    return this.#documents.values();
  }

  /** Since when the oldest document is being loaded that is not open yet (milliseconds of `performance.now()`); else `Infinity`. */
  get loadingSince(): number {
    return Math.min(...this.#loading.values());
  }

  /** Writes an applied update to the log, and tells other instances. */
  append(open: OpenDocument, update: Uint8Array, author: string | null): void {
    this.write(open, update, author);
    this.relay.tell(open, update);
  }

  /** @param request - what is recorded with it */
  write(open: OpenDocument, update: Uint8Array, author: string | null, request?: KeyedRequest): void {
    open.lastSequence = this.#options.updateLog.append(open.name, update, author, request);
    open.countTail(update.byteLength);
  }

  confirm(open: OpenDocument): void {
    open.lastSequence = this.#options.updateLog.confirm();
  }

  get isFailing(): boolean {
    return this.#options.updateLog.isFailing;
  }

  /** Sends the acks that are due now, and the others when what they wait for is committed. */
  settle(acks: Acks, open: OpenDocument): void {
    acks.settle(this.durable(open));
    if (!acks.isEmpty) this.#owed.set(acks, open);
  }

  durable({ relayed }: OpenDocument): Durable {
    return { sequence: this.#options.updateLog.committed, relayed: relayed.durable };
  }

  /** The connection is gone: its acks are owed to nobody. */
  forget(acks: Acks): void {
    this.#owed.delete(acks);
  }

  /** The update log has committed everything up to `sequence`. */
  committed(sequence: number, documents: Iterable<string>): void {
    this.relay.logCommitted(sequence);
    this.settleAll();
    for (const name of documents) this.#host.unloadIfUnused(name);
  }

  settleAll(): void {
    for (const [acks, open] of this.#owed) {
      try {
        acks.settle(this.durable(open));
      } catch (error) {
        // Others are owed theirs.
        this.log.error({ err: error }, 'an ack could not be sent');
        this.#owed.delete(acks);
      }
      if (acks.isEmpty) this.#owed.delete(acks);
    }
  }

  /** Postgres will not take the updates of a document: what is in memory is more than can ever be durable. */
  refused(name: string, error: unknown): void {
    const open = this.#documents.get(name);
    if (open === undefined) return;
    if (isDeletion(error)) this.#drop(open, 'document_deleted');
    else this.rebuild(open, error);
  }

  /**
   * A document was deleted, or renamed: it is dropped from memory if it is the one which is here. One that is in memory since before it was
   * stored has no id, and had this name when nobody else did.
   * @param isGone - told the id of the document that is here
   */
  deleted(name: string, isGone: (id: string) => boolean): void {
    if (this.#loading.has(name)) this.#deleted.set(name, isGone);
    const open = this.#documents.get(name);
    if (open !== undefined && (open.id === null || isGone(open.id))) this.#drop(open, 'document_deleted');
  }

  /** A document has got this name. Who has had it open when it was nobody's is to see what it holds. */
  renamed(to: string): void {
    const open = this.#documents.get(to);
    if (open?.id === null) this.rebuild(open, new Error('another document has got its name'));
  }

  /**
   * The database was replaced by a standby, which may lack what it had not received. What is here would be taken for known when
   * clients repeat it: so all documents are loaded anew, and clients bring what they have of them.
   */
  databaseReplaced(): void {
    const error = new Error('a standby has taken the place of the database');
    for (const open of this.#documents.values()) this.rebuild(open, error);
  }

  /**
   * Drops a document from memory, once what it has in the log is committed, and lets its clients come back to one that
   * is rebuilt from storage. Nothing of a frame that threw was logged or acknowledged.
   */
  rebuild(open: OpenDocument, error: unknown): void {
    if (open.isSpoilt) return;
    this.metrics.rebuilds.inc();
    this.log.error({ document: open.name, err: messageOf(error) }, 'a document is rebuilt from storage');
    this.#drop(open, 'document_reset');
  }

  #drop(open: OpenDocument, code: 'document_reset' | 'document_deleted'): void {
    if (open.isSpoilt) return;
    open.isSpoilt = true;
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    this.#retiring.set(open.name, { gone, resolve });
    for (const { context } of open.document.getConnections()) {
      const { session } = context as SessionContext;
      // A provider does not ask again for one document of its socket, unless that comes back.
      if (code === 'document_reset') session.end(code);
      else session.disconnect(open.name, undefined, code);
    }
    for (const hold of this.#holds) if (hold.open === open) hold.lose(code);
    this.#host.unloadIfUnused(open.name);
  }

  /**
   * Stops waiting for a database that is away, and resolves when no document is in memory any more: when the gateway
   * has closed the sockets, the log has committed, and a long tail has been folded.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.relay.close();
    for (const hold of this.#holds) hold.release();
    // Of documents that only programs have had nobody has left, at which it would be time.
    this.#host.flushPendingStores();
    // Who waits for one that is dropped from memory need not wait any longer.
    for (const { resolve } of this.#retiring.values()) resolve();
    if (this.#documents.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  #hooks(): Extension {
    return {
      extensionName: 'indelible',
      onAuthenticate: async ({ context, documentName, token, connectionConfig }) => {
        const { session } = context as SessionContext;
        const grant = await this.#orRefuse(documentName, () => session.authorize(documentName, token));
        connectionConfig.readOnly = grant.access === 'read';
        return { grant };
      },
      onLoadDocument: async ({ document, documentName }) => {
        await this.#orRefuse(documentName, () => this.#load(document));
      },
      connected: ({ context, connection, documentName }) =>
        this.#guard('connected', documentName, () => {
          const { session, grant } = context as SessionContext;
          const open = this.#documents.get(documentName);
          if (open === undefined || grant === undefined) session.end('document_reset');
          else session.attach(connection, open, grant);
        }),
      onStoreDocument: ({ documentName }) =>
        this.#guard('onStoreDocument', documentName, () => this.#foldIfWorthIt(documentName)),
      // Everybody has left: what was too short while they typed may be long now.
      beforeUnloadDocument: ({ documentName }) =>
        this.#guard('beforeUnloadDocument', documentName, async () => {
          if (!this.#isClosed) await this.#foldIfWorthIt(documentName);
        }),
      afterUnloadDocument: ({ documentName }) =>
        this.#guard('afterUnloadDocument', documentName, () => this.#unloaded(documentName)),
    };
  }

  /** A hook that rejects would end the process, or leave Hocuspocus half-way. */
  async #guard(hook: string, document: string, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.log.error({ err: error, hook, document }, 'a hook failed');
    }
  }

  /** Runs what may refuse a document; the client gets the code as the reason. */
  async #orRefuse<T>(document: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof LoadAgain) throw error;
      const code = codeOf(error);
      this.metrics.refused.inc({ code });
      this.log.warn({ document, code, err: messageOf(error) }, 'a document is refused');
      throw new Refusal(code, { cause: error });
    }
  }

  async #load(document: Document): Promise<void> {
    const stop = this.metrics.loadSeconds.startTimer();
    const { name } = document;
    this.#loading.set(name, performance.now());
    this.relay.join(name);
    try {
      const stored = (await this.#read(document.name)) ?? (await this.#create(document.name));
      if (stored !== null) await this.#fill(document, stored);
      const open = this.#open(document, stored);
      if (stored === null) await this.#readAgain(open);
      await this.relay.catchUp(open);
      // What another instance has told of it is not in the database any more.
      if (this.#damaged.delete(name)) this.writeAgain(name);
      this.#refuseDeleted(open);
      stop();
    } catch (error) {
      this.relay.leave(name, this.#documents.get(name));
      this.#documents.delete(name);
      // Hocuspocus would leave it behind, with the timer of its awareness.
      document.destroy();
      // Nor would it say that one is gone which was dropped meanwhile.
      this.#retired(name);
      throw error;
    } finally {
      this.#loading.delete(name);
      this.#deleted.delete(name);
    }
  }

  #refuseDeleted({ name, id }: OpenDocument): void {
    const isGone = this.#deleted.get(name);
    if (isGone !== undefined && (id === null || isGone(id))) throw new IndelibleError('document_deleted');
  }

  /** Somebody may have stored it since it was read, and found nobody here to tell. */
  async #readAgain({ name }: OpenDocument): Promise<void> {
    const stored = await this.#read(name);
    if (stored === null) return;
    const snapshots = stored.snapshot === null ? [] : [stored.snapshot];
    const updates = [...snapshots, ...stored.tail.map(({ update }) => update)];
    this.relay.takeCommitted(updates.map((update) => ({ document: name, update })));
  }

  async #fill(document: Document, stored: StoredDocument): Promise<void> {
    try {
      await loadQuietly(document, () => this.#options.store.load(document, stored));
    } catch (error) {
      await this.#options.store.setAsideUnreadable(document.name, stored, error);
      throw new LoadAgain();
    }
  }

  #open(document: Document, stored: StoredDocument | null): OpenDocument {
    const { name } = document;
    const open: OpenDocument = new OpenDocument(document, stored, {
      limits: this.limits.document,
      onUpdate: (update, origin) => this.append(open, update, authorOf(origin)),
      onPresence: (ids) => this.relay.tellPresence(open, ids),
      onEncoded: () => this.turns.wake(),
    });
    if (stored !== null) this.#options.updateLog.remember(name, stored.id);
    // Who repeats what was stored is acknowledged without a row, so the document itself has to be confirmed first.
    if (stored?.isReplicated === true) this.confirm(open);
    this.#documents.set(name, open);
    this.metrics.documents.set(this.#documents.size);
    return open;
  }

  /** The first content of a document comes from `onLoad`; of all instances that ask at once, one stores it. */
  async #create(name: string): Promise<StoredDocument | null> {
    const content = await this.#firstContent(name);
    if (content === null) return null;
    await this.#whenThere(() => {
      // While commits wait for a standby, each attempt would leave one more waiting in Postgres.
      if (this.#options.updateLog.isFailing) throw new Error('nothing is committed at the moment');
      return this.#options.store.create(name, content, { unlessDeleted: true });
    });
    return this.#read(name);
  }

  async #firstContent(name: string): Promise<Uint8Array | null> {
    try {
      const content = (await this.#options.onLoad?.(name)) ?? null;
      // Of any size: the program says how its documents begin.
      const document = { ...this.limits.document, documentBytes: Infinity };
      return content === null ? null : firstUpdateOf(content, { ...this.limits, document });
    } catch (error) {
      throw new IndelibleError('content_unavailable', messageOf(error), { cause: error });
    }
  }

  #read(name: string): Promise<StoredDocument | null> {
    return this.#whenThere(() => this.#options.store.read(name));
  }

  /**
   * Waits for a database that is away; a client that gives up before comes back by itself. (Refused, a document of a
   * shared Hocuspocus socket would not be asked for again.)
   */
  async #whenThere<T>(work: () => Promise<T>): Promise<T> {
    for (let pause = LOAD_RETRY_MS; ; pause = Math.min(pause * 2, LOAD_RETRY_MAX_MS)) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof IndelibleError || !isTransient(error)) throw error;
        if (this.#isClosed)
          throw new IndelibleError('database_unavailable', messageOf(error), { cause: error });
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  async #foldIfWorthIt(name: string): Promise<void> {
    const open = this.#documents.get(name);
    // While the database is away there is nothing to fold; the next store time comes with the next edit.
    if (open?.isWorthFolding !== true || open.isSpoilt || this.#options.updateLog.isFailing) return;
    try {
      const result = await this.#options.store.fold(name);
      if (result.kind === 'folded') open.folded(result.rows, result.snapshotBytes);
      else if (result.kind === 'nothing') open.foldedElsewhere();
      else open.notFolded();
    } catch (error) {
      open.notFolded();
      throw error;
    }
  }

  /**
   * Some of what is stored of a document cannot be read any more. What is in memory was loaded, or taken in, when it could be:
   * so all of that is committed once more, or who repeats what is lost there would be acknowledged for what is only here.
   */
  #onDamage(name: string): void {
    if (this.#loading.has(name)) this.#damaged.add(name);
    else this.writeAgain(name);
    this.relay.tellDamage(name);
  }

  writeAgain(name: string): void {
    const open = this.#documents.get(name);
    if (open === undefined || open.isSpoilt) return;
    this.log.warn({ document: name }, 'what is in memory of a damaged document is committed again');
    this.append(open, Y.encodeStateAsUpdate(open.document), null);
  }

  #unloaded(name: string): void {
    // One that is being loaded anew goes on to hear of it.
    if (!this.#loading.has(name)) this.relay.leave(name, this.#documents.get(name));
    this.#documents.delete(name);
    this.metrics.documents.set(this.#documents.size);
    this.#options.updateLog.forget(name);
    this.#retired(name);
    if (this.#documents.size === 0) this.#onEmpty?.();
  }

  #retired(name: string): void {
    this.#retiring.get(name)?.resolve();
    this.#retiring.delete(name);
  }
}

function codeOf(error: unknown): IndelibleError['code'] {
  if (error instanceof IndelibleError) return error.code;
  return isTransient(error) ? 'database_unavailable' : 'document_unavailable';
}

function isDeletion(error: unknown): boolean {
  return error instanceof IndelibleError && error.code === 'document_deleted';
}

/** Programs change documents under an origin whose context names them. */
function authorOf(origin: unknown): string | null {
  const { context } = (origin ?? {}) as { context?: { user?: unknown } };
  return typeof context?.user === 'string' ? context.user : null;
}
