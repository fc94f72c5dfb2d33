import {
  Hocuspocus,
  shouldSkipStoreHooks,
  type Connection,
  type Document,
  type Extension,
} from '@hocuspocus/server';

export type { Connection, Document, Extension };
export type ClientConnection = ReturnType<Hocuspocus['handleConnection']>;

/** Hocuspocus closes idle sockets itself, with a code that is final for y-websocket. The gateway's heartbeat does it. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;
/** Store time, that is when folding is considered: after this much quiet, at the latest after the maximum. */
const STORE_QUIET_MS = 2_000;
const STORE_MAX_MS = 10_000;
/** Hocuspocus is told of edits no more often: it makes a timer and a request's parameters for each. */
const TELL_MS = 500;

/** Hooks that do nothing by default cost 20 to 30 % of an update's CPU when they are left in place. */
const NO_HOOKS = Object.fromEntries(
  `onConfigure onListen onUpgrade onConnect connected beforeHandleMessage afterHandleMessage beforeHandleAwareness
   beforeSync beforeBroadcastStateless onStateless onChange onCreateDocument onLoadDocument onStoreDocument
   afterStoreDocument onAwarenessUpdate onRequest onDisconnect onDestroy`
    .split(/\s+/)
    .map((hook) => [hook, undefined]),
);

/** The private maps of a ClientConnection that are plain objects, keyed by what clients send. */
const KEYED_BY_CLIENTS = [
  'documentConnections',
  'incomingMessageQueue',
  'incomingMessageQueueBytes',
  'hookPayloads',
] as const;

/** Hocuspocus wants a request for each connection; no hook of ours reads it, so one light object serves all. */
export const NO_REQUEST = { url: 'http://localhost/', headers: new Headers() } as Request;

/** A refusal that Hocuspocus sends to the client as the reason. Without a message, or it would print one. */
export class Refusal extends Error {
  readonly reason: string;

  constructor(reason: string, options?: ErrorOptions) {
    super('', options);
    this.reason = reason;
  }
}

/** Thrown by a load whose document is spoilt, to have it tried again with a new one. */
export class LoadAgain extends Error {
  override readonly message = '';
}

export interface HostOptions {
  readonly extension: Extension;
  /** A client asks for all of its documents at once. */
  readonly documentsPerSocket: number;
  /** Whether a document must stay in memory though nobody is connected to it. */
  mustStay(name: string): boolean;
  /** Settles when the document in memory, which nobody may attach to any more, is gone. */
  retiring(name: string): Promise<void> | undefined;
  onError(error: unknown, stage: string): void;
}

/**
 * Hocuspocus, without what loses data or takes the process down (see the names of the members). With cluster/ the only
 * importer of @hocuspocus.
 */
export class Host extends Hocuspocus {
  readonly #options: HostOptions;
  readonly #pins = new Map<string, number>();

  constructor(options: HostOptions) {
    super({
      ...NO_HOOKS,
      extensions: [options.extension],
      quiet: true,
      timeout: NO_TIMEOUT_MS,
      maxPendingDocuments: options.documentsPerSocket,
      debounce: STORE_QUIET_MS,
      maxDebounce: STORE_MAX_MS,
    });
    this.#options = options;
  }

  /**
   * A name like `constructor` or `__proto__` must not find what every object has.
   */
  override handleConnection(
    ...[socket, request, context]: Parameters<Hocuspocus['handleConnection']>
  ): ClientConnection {
    const client = super.handleConnection(socket, request, context);
    for (const map of KEYED_BY_CLIENTS) {
      Object.setPrototypeOf((client as unknown as Record<string, object>)[map], null);
    }
    return client;
  }

  /**
   * Somebody who attaches needs a few microtasks between having the document and being connected to it. The document
   * is pinned meanwhile: unloaded in that gap, edits would go into a destroyed one and vanish.
   */
  override async createDocument(...args: Parameters<Hocuspocus['createDocument']>): Promise<Document> {
    const [name] = args;
    for (let gone; (gone = this.#options.retiring(name)) !== undefined;) await gone;
    this.#pin(name);
    try {
      return await super.createDocument(...args);
    } finally {
      setImmediate(() => this.#unpin(name));
    }
  }

  /**
   * Has a document in memory for a program. Hocuspocus's direct connections would keep it there for two seconds after their end.
   * @returns what lets it go
   * @throws {@link Refusal}
   */
  async pin(name: string): Promise<() => void> {
    await this.createDocument(name, NO_REQUEST, '', { readOnly: false, isAuthenticated: true }, {});
    this.#pin(name);
    return () => this.#unpin(name);
  }

  #pin(name: string): void {
    this.#pins.set(name, (this.#pins.get(name) ?? 0) + 1);
  }

  #unpin(name: string): void {
    const left = (this.#pins.get(name) ?? 1) - 1;
    if (left > 0) {
      this.#pins.set(name, left);
      return;
    }
    this.#pins.delete(name);
    this.unloadIfUnused(name);
  }

  override async loadDocument(...args: Parameters<Hocuspocus['loadDocument']>): Promise<Document> {
    for (;;) {
      try {
        const document = await super.loadDocument(...args);
        dropAwarenessHook(document);
        tellNowAndThen(document);
        return document;
      } catch (error) {
        if (!(error instanceof LoadAgain)) throw error;
      }
    }
  }

  override shouldUnloadDocument(document: Document): boolean {
    return (
      super.shouldUnloadDocument(document) &&
      !this.#pins.has(document.name) &&
      !this.#options.mustStay(document.name)
    );
  }

  /**
   * Hocuspocus looks a document up by its name, and a timer of its store holds on to one that may have been unloaded and
   * loaded again since: the new one would be dropped in its place, with people in it.
   */
  override async unloadDocument(document: Document): Promise<void> {
    if (this.documents.get(document.name) === document) await super.unloadDocument(document);
  }

  /** Hocuspocus asks when the last client leaves, and then never again: to be called when a reason to stay is gone. */
  unloadIfUnused(name: string): void {
    const document = this.documents.get(name);
    if (document === undefined || document.getConnectionsCount() > 0) return;
    this.unloadDocument(document).catch((error: unknown) => this.#options.onError(error, 'unload'));
  }
}

/**
 * Has a document loaded without telling anybody: Hocuspocus would send all of it, as one update, to those who are connected, who are
 * none, for which Yjs encodes it: 0.2 s for 20 MB.
 */
export async function loadQuietly(document: Document, load: () => Promise<void>): Promise<void> {
  // oxlint-disable-next-line no-underscore-dangle -- its listener is a closure that nobody else has
  const observers = document._observers;
  const listeners = observers.get('update');
  observers.delete('update');
  try {
    await load();
  } finally {
    if (listeners !== undefined) observers.set('update', listeners);
  }
}

/** What Hocuspocus does at each edit is to put off the store time; a fifth of what it takes to take one in. */
function tellNowAndThen(document: Document): void {
  const tell = document.callbacks.onUpdate;
  let toldAt = -Infinity;
  document.onUpdate((of, origin, update) => {
    const now = performance.now();
    // Those of other instances have their store time there; to tell of one must not keep it from being told of ours.
    if (shouldSkipStoreHooks(origin) || now - toldAt < TELL_MS) return;
    toldAt = now;
    tell(of, origin, update);
  });
}

/**
 * At each change of somebody's presence Hocuspocus lists everybody's, for a hook that is none here: with 500 people who move a
 * third of the server's time.
 */
function dropAwarenessHook({ awareness }: Document): void {
  // oxlint-disable-next-line no-underscore-dangle -- it tells nowhere else who listens
  const listeners: ReadonlySet<() => void> = awareness._observers.get('update') ?? new Set();
  const hook = [...listeners].find((listener) => String(listener).includes('onAwarenessUpdate'));
  if (hook !== undefined) awareness.off('update', hook);
}
