import { type Decoder, readVarUint } from 'lib0/decoding';
import { type Encoder, length } from 'lib0/encoding';

// The acks of this server, from the browser's side. A client that connects with `?acks=1` gets one message
// for each update frame and each step 2 frame that it sends, in the order in which it sent them:
//
//   [8, 1]  the frame is committed in Postgres
//   [8, 0]  the frame was refused and is not stored
//
// So a first-in, first-out queue of "how many edits were in that frame" is all there is to keep.

const messageSync = 0;
const messageAck = 8;

type MessageHandler<Provider> = (
  reply: Encoder,
  message: Decoder,
  provider: Provider,
  fromSocket: boolean,
  type: number,
) => void;

/**
 * What `trackSaves` uses of a `WebsocketProvider` (y-websocket 3.1 or newer, unmodified). It stands here as a
 * shape, so that this package does not depend on y-websocket.
 */
export interface SavingProvider {
  readonly params: Record<string, string>;
  readonly messageHandlers: MessageHandler<never>[];
  readonly doc: {
    on(event: 'update', listener: (update: Uint8Array, origin: unknown) => void): unknown;
    off(event: 'update', listener: (update: Uint8Array, origin: unknown) => void): unknown;
  };
  readonly ws: { readonly readyState: number; readonly OPEN: number } | null;
  readonly wsconnected: boolean;
  readonly synced: boolean;
  on(event: 'status', listener: (event: { status: string }) => void): unknown;
  on(event: 'connection-close' | 'sync', listener: () => void): unknown;
  off(event: 'status', listener: (event: { status: string }) => void): unknown;
  off(event: 'connection-close' | 'sync', listener: () => void): unknown;
}

/**
 * Where the edits of this client are:
 *
 * - `connecting`: no attempt to connect has succeeded or failed yet.
 * - `offline`: there is no connection. The provider keeps trying by itself (unless it was told to stop, or
 *   the server closed with a code from 4400 to 4499); the state stays `offline` until one attempt succeeds.
 * - `syncing`: connected; the two sides have not yet told each other what they have.
 * - `saving`: in sync; at least one frame is not committed yet.
 * - `saved`: in sync, and everything in the document is committed in Postgres.
 * - `refused`: connected, and the server refused at least one edit (no right to write, a limit). Such an
 *   edit exists on this side only; it is offered again when the two sides sync again.
 */
export type SaveState = 'offline' | 'connecting' | 'syncing' | 'saving' | 'saved' | 'refused';

/** A live view of what is saved; see {@link trackSaves}. */
export interface Saves {
  readonly state: SaveState;
  /** Edits (Yjs transactions of this client) that are neither committed nor refused, sent or not. */
  readonly unsaved: number;
  /** Edits that the server refused since the two sides last synced. */
  readonly refused: number;
  /**
   * Calls `listener`, without arguments, whenever one of the values above may have changed.
   * @returns a function that ends the subscription
   */
  subscribe(listener: () => void): () => void;
  /** Stops tracking. The provider goes on working. */
  destroy(): void;
}

class SaveTracker implements Saves {
  readonly #provider: SavingProvider;
  readonly #readSync: MessageHandler<never>;
  readonly #listeners = new Set<() => void>();
  #line: 'offline' | 'connecting' | 'online' = 'connecting';
  /** Whether this connection's step 2 is on its way: before it, the server may lack more than we counted. */
  #answered = false;
  /** Edits in each frame that waits for its ack, oldest first, and their sum. */
  #awaiting: number[] = [];
  #sent = 0;
  #unsent = 0;
  #refused = 0;

  constructor(provider: SavingProvider, unsaved: number) {
    const readSync = provider.messageHandlers[messageSync];
    if (!readSync || provider.params.acks !== '1' || provider.wsconnected) {
      throw new Error(
        "trackSaves: give the provider `params: { acks: '1' }` and call this before it connects",
      );
    }
    this.#provider = provider;
    this.#readSync = readSync;
    this.#unsent = unsaved;
    provider.messageHandlers[messageSync] = this.#onSync;
    provider.messageHandlers[messageAck] = (_reply, message) => this.#onAck(readVarUint(message) === 1);
    provider.doc.on('update', this.#onUpdate);
    provider.on('status', this.#onStatus);
    provider.on('connection-close', this.#onClose);
    provider.on('sync', this.#notify);
  }

  get state(): SaveState {
    if (this.#line !== 'online') return this.#line;
    if (this.#refused > 0) return 'refused';
    if (!this.#provider.synced || !this.#answered) return 'syncing';
    return this.#awaiting.length > 0 || this.#unsent > 0 ? 'saving' : 'saved';
  }

  get unsaved(): number {
    return this.#unsent + this.#sent;
  }

  get refused(): number {
    return this.#refused;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  destroy(): void {
    const provider = this.#provider;
    provider.messageHandlers[messageSync] = this.#readSync;
    provider.messageHandlers[messageAck] = () => {}; // the provider logs an error for a type without a handler
    provider.doc.off('update', this.#onUpdate);
    provider.off('status', this.#onStatus);
    provider.off('connection-close', this.#onClose);
    provider.off('sync', this.#notify);
    this.#listeners.clear();
  }

  readonly #notify = (): void => {
    for (const listener of this.#listeners) listener();
  };

  readonly #send = (edits: number): void => {
    this.#awaiting.push(edits);
    this.#sent += edits;
  };

  readonly #onStatus = ({ status }: { status: string }): void => {
    if (status === 'connected') this.#line = 'online';
    this.#notify();
  };

  // Whether a frame without an ack was committed cannot be known any more; the next step 2 will hold its edits
  // if it was not. A refused one is still missing on the server, so the next step 2 holds that too.
  readonly #onClose = (): void => {
    this.#line = 'offline';
    this.#answered = false;
    this.#unsent += this.#sent + this.#refused;
    this.#awaiting = [];
    this.#sent = this.#refused = 0;
    this.#notify();
  };

  // The provider sends an update frame under the same condition. Its listener was added first, and nothing can
  // change the socket's state in between.
  readonly #onUpdate = (_update: Uint8Array, origin: unknown): void => {
    if (origin === this.#provider) return;
    const { ws, wsconnected } = this.#provider;
    if (wsconnected && ws?.readyState === ws?.OPEN) this.#send(1);
    else this.#unsent += 1;
    this.#notify();
  };

  // After the type's one byte, the reply to a step 1 is a step 2 with everything that the server lacks. Other tabs
  // ask over BroadcastChannel: their answer goes there and the server never acks it.
  readonly #onSync: MessageHandler<never> = (reply, message, provider, fromSocket, type) => {
    this.#readSync(reply, message, provider, fromSocket, type);
    if (!fromSocket || length(reply) <= 1) return;
    this.#answered = true;
    const edits = this.#unsent + this.#refused;
    this.#unsent = this.#refused = 0;
    this.#send(edits);
    this.#notify();
  };

  readonly #onAck = (committed: boolean): void => {
    const edits = this.#awaiting.shift();
    if (edits === undefined) return;
    this.#sent -= edits;
    // A step 2 can hold more than was counted here (a document loaded from disk), but never nothing.
    if (!committed) this.#refused += Math.max(1, edits);
    this.#notify();
  };
}

/**
 * Tells, for an unmodified y-websocket provider, whether every edit is committed in Postgres. Connect with
 * `acks=1`, and call this in the tick that makes the provider, before any message arrives:
 *
 * ```ts
 * const provider = new WebsocketProvider('wss://example.org', 'notes/today', doc, { params: { acks: '1' } });
 * const saves = trackSaves(provider);
 * saves.subscribe(() => console.log(saves.state, saves.unsaved));
 * ```
 *
 * Without acks from the server (an older one, another one) the state stays `saving` and never claims `saved`.
 *
 * @param options.unsaved - edits that an earlier visit left unsaved, and that the document was loaded with (from
 * y-indexeddb, say): the first step 2 brings them
 * @throws Error if the provider does not ask for acks, or is connected already (its first frames were not counted)
 */
export function trackSaves(provider: SavingProvider, { unsaved = 0 }: { unsaved?: number } = {}): Saves {
  return new SaveTracker(provider, unsaved);
}
