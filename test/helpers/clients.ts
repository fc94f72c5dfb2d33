import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import * as decoding from 'lib0/decoding';
import type { Awareness } from 'y-protocols/awareness';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { atTestEnd } from './cleanup.ts';
import { type SocketTap, clientSocket } from './client-socket.ts';
import { createSignal, until } from './deadline.ts';
import type { Closed } from './raw-client.ts';

export { UpgradeRefused, rawHocuspocus, rawYWebsocket } from './raw-client.ts';

/** Real clients retry after a second and more; tests that restart a server need not wait that long. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 500;

const SYNC = 0;
const STEP_2 = 1;
const UPDATE = 2;
const SYNC_STATUS = 8;

export interface ClientOptions {
  token?: string;
  doc?: Y.Doc;
  tap?: SocketTap;
  headers?: Record<string, string>;
}

export interface Client<P> {
  doc: Y.Doc;
  provider: P;
  awareness: Awareness;
  /** How each of its connections ended. */
  closes: Closed[];
  /** Holds when the server's state has arrived; fails at once when the server has refused for good. */
  synced(deadlineMs?: number): Promise<void>;
  /** Holds when the server has acknowledged everything that the client has sent. */
  saved(deadlineMs?: number): Promise<void>;
  /** Holds when `check` does, looked at whenever the document or the presence changes. */
  sees(check: (doc: Y.Doc, awareness: Awareness) => boolean, deadlineMs?: number): Promise<void>;
  /** Holds when as many connections have ended. */
  closed(count?: number, deadlineMs?: number): Promise<void>;
  /** How it stands, in words, for the error of a test that waits in vain. */
  standing(): string;
  destroy(): void;
}

/** What the two clients have in common once they can say how they stand. */
interface State {
  doc: Y.Doc;
  awareness: Awareness;
  closes: Closed[];
  name: string;
  isSynced: () => boolean;
  unsaved: () => number;
  refusal: () => string | undefined;
  line: () => string;
}

/** The client of y-websocket. With `acks` it asks the server for acknowledgements and counts them. */
export function connectYWebsocket(
  url: string,
  name: string,
  options: ClientOptions & {
    acks?: boolean;
    params?: Record<string, string>;
    protocols?: string[];
  } = {},
): Client<WebsocketProvider> {
  const doc = options.doc ?? new Y.Doc();
  const changed = createSignal();
  const closes: Closed[] = [];
  let final: Closed | undefined;
  let unsaved = 0;
  const onSend = (bytes: Uint8Array, line: object) => {
    if (bytes[0] === SYNC && (bytes[1] === STEP_2 || bytes[1] === UPDATE)) unsaved += 1;
    options.tap?.onSend?.(bytes, line);
  };
  const provider = new WebsocketProvider(url.replace(/^http/, 'ws'), name, doc, {
    WebSocketPolyfill: clientSocket({ ...options.tap, headers: options.headers, onSend }),
    disableBc: true,
    protocols: options.protocols ?? [],
    maxBackoffTime: MAX_RETRY_MS,
    params: {
      ...options.params,
      ...(options.token !== undefined && { token: options.token }),
      ...(options.acks && { acks: '1' }),
    },
  });
  provider.messageHandlers[SYNC_STATUS] = (_encoder, decoder) => {
    if (decoding.readVarUint(decoder) === 1) unsaved -= 1;
    changed.fire();
  };
  provider.on('sync', changed.fire);
  provider.on('connection-close', (event) => {
    if (event) closes.push({ code: event.code, reason: event.reason });
    // What was not acknowledged goes out again, as step 2 of the next connection.
    unsaved = 0;
    changed.fire();
  });
  provider.on('closed', (event) => {
    final = event;
    changed.fire();
  });
  return client(
    provider,
    {
      doc,
      awareness: provider.awareness,
      closes,
      name,
      isSynced: () => provider.synced,
      unsaved: () => unsaved,
      refusal: () => final && `the server closed with ${final.code} ${final.reason}`,
      line: () => (provider.wsconnected ? 'open' : provider.wsconnecting ? 'connecting' : 'closed'),
    },
    changed,
    () => provider.destroy(),
  );
}

/** The client of Hocuspocus. Clients given the same `socket` share one connection. */
export function connectHocuspocus(
  url: string,
  name: string,
  options: Omit<ClientOptions, 'token'> & {
    /** Asked for at each connection, if it is a function. */
    token?: string | (() => Promise<string>);
    socket?: HocuspocusProviderWebsocket;
    sessionAwareness?: boolean;
  } = {},
): Client<HocuspocusProvider> {
  const doc = options.doc ?? new Y.Doc();
  const changed = createSignal();
  const closes: Closed[] = [];
  let refusal: string | undefined;
  const socket = options.socket ?? hocuspocusSocket(url, options);
  const provider = new HocuspocusProvider({
    websocketProvider: socket,
    name,
    document: doc,
    token: options.token ?? null,
    sessionAwareness: options.sessionAwareness ?? false,
    onSynced: changed.fire,
    onUnsyncedChanges: changed.fire,
    onAuthenticationFailed({ reason }) {
      refusal = `authentication failed: ${reason}`;
      changed.fire();
    },
    onClose({ event }) {
      closes.push({ code: event.code, reason: event.reason });
      changed.fire();
    },
  });
  provider.attach();
  const destroy = () => {
    provider.destroy();
    if (options.socket === undefined) socket.destroy();
  };
  return client(
    provider,
    {
      doc,
      awareness: provider.awareness as Awareness,
      closes,
      name,
      isSynced: () => provider.synced,
      unsaved: () => provider.unsyncedChanges,
      refusal: () => refusal,
      line: () => `${socket.status}, authenticated: ${provider.isAuthenticated}`,
    },
    changed,
    destroy,
  );
}

/** A connection for several Hocuspocus clients; destroyed at the end of the test. */
export function hocuspocusSocket(
  url: string,
  { headers, tap }: { headers?: Record<string, string>; tap?: SocketTap } = {},
) {
  const socket = new HocuspocusProviderWebsocket({
    url: url.replace(/^http/, 'ws'),
    WebSocketPolyfill: clientSocket({ ...tap, headers }),
    delay: RETRY_MS,
    minDelay: RETRY_MS / 2,
    maxDelay: MAX_RETRY_MS,
  });
  atTestEnd(() => socket.destroy());
  return socket;
}

function client<P>(
  provider: P,
  state: State,
  changed: ReturnType<typeof createSignal>,
  end: () => void,
): Client<P> {
  const { doc, awareness, closes, name, isSynced, unsaved, refusal, line } = state;
  let alive = true;
  const destroy = () => {
    if (alive) end();
    alive = false;
  };
  atTestEnd(destroy);
  doc.on('update', changed.fire);
  awareness.on('change', changed.fire);
  const standing = () =>
    `line: ${line()}, synced: ${isSynced()}, unsaved: ${unsaved()}, refused: ${refusal() ?? 'no'}, ` +
    `closed: ${JSON.stringify(closes)}`;
  const wait = (
    what: string,
    check: () => boolean,
    deadlineMs?: number,
    hopeless?: () => string | undefined,
  ) =>
    until({
      what: () => `${name} ${what} (${standing()})`,
      check,
      signal: changed,
      deadlineMs,
      ...(hopeless && { hopeless }),
    });
  return {
    doc,
    provider,
    awareness,
    closes,
    destroy,
    synced: (deadlineMs) => wait('synced', isSynced, deadlineMs, refusal),
    saved: (deadlineMs) => wait('saved', () => isSynced() && unsaved() === 0, deadlineMs, refusal),
    sees: (check, deadlineMs) => wait('sees', () => check(doc, awareness), deadlineMs),
    closed: (count = 1, deadlineMs) => wait('closed', () => closes.length >= count, deadlineMs),
    standing,
  };
}
