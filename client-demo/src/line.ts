import type { WebsocketProvider } from 'y-websocket';
import { retryDelay } from './backoff.ts';
import { Listeners } from './listeners.ts';

/**
 * How it stands with the connection to the server:
 *
 * - `connecting`: the first attempt has neither succeeded nor failed yet.
 * - `online`: there is a connection.
 * - `away`: there is none; another attempt follows at `retryAt` (as of `Date.now()`), or is on its way.
 * - `refused`: the server said that coming back is of no use, and there are no more attempts by themselves.
 */
export type LineState =
  | { readonly kind: 'connecting' | 'online' }
  | { readonly kind: 'away'; readonly why: Absence; readonly retryAt: number | undefined }
  | { readonly kind: 'refused'; readonly why: Refusal; readonly code: string };

/** This browser has no network; the server does not answer, restarts, or cannot serve the document for now. */
export type Absence = 'offline' | 'unreachable' | 'restarting' | 'unavailable';

/** The server does not let us in, has deleted the document, or cannot take as much as we bring. */
export type Refusal = 'no access' | 'deleted' | 'too large';

const serverRestarts = 1012;
const serverError = 1011;
const tryAgainLater = 1013;
const notFound = 4404;
const tooLarge = 4413;
/** A server that said that it restarts is taken to do so for as long, in ms. */
const restartTime = 30_000;
/** A browser waits for minutes for a server that does not answer, in ms. */
const dialTime = 10_000;

/** Keeps a provider connected; it leaves coming back to us (`shouldReconnect: () => false`), since it knows no jitter. */
export class Line {
  readonly #provider: WebsocketProvider;
  readonly #listeners = new Listeners();
  #state: LineState = { kind: 'connecting' };
  #failures = 0;
  #restartsUntil = 0;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #dialling: ReturnType<typeof setTimeout> | undefined;

  /** @param isDeleted - the server is known to have deleted the document: it is asked when somebody wants it to be */
  constructor(provider: WebsocketProvider, isDeleted: boolean) {
    this.#provider = provider;
    provider.on('status', this.#onStatus);
    provider.on('sync', this.#onSync);
    provider.on('connection-close', this.#onLocalClose);
    provider.on('closed', this.#onClosed);
    window.addEventListener('offline', this.#redial);
    window.addEventListener('online', this.#hurry);
    document.addEventListener('visibilitychange', this.#onVisibility);
    if (isDeleted) this.#state = { kind: 'refused', why: 'deleted', code: 'document_deleted' };
    else this.#dial();
  }

  get state(): LineState {
    return this.#state;
  }

  readonly subscribe = this.#listeners.add;

  /** Does not wait for the next attempt; after a refusal it is the only one, since somebody may have mended the reason. */
  retry(): void {
    if (this.#state.kind === 'refused') this.#dial();
    else this.#hurry();
  }

  close(): void {
    clearTimeout(this.#waiting);
    clearTimeout(this.#dialling);
    this.#provider.off('status', this.#onStatus);
    this.#provider.off('sync', this.#onSync);
    this.#provider.off('connection-close', this.#onLocalClose);
    this.#provider.off('closed', this.#onClosed);
    window.removeEventListener('offline', this.#redial);
    window.removeEventListener('online', this.#hurry);
    document.removeEventListener('visibilitychange', this.#onVisibility);
  }

  #become(state: LineState): void {
    this.#state = state;
    this.#listeners.call();
  }

  #dial(): void {
    clearTimeout(this.#waiting);
    clearTimeout(this.#dialling);
    if (this.#state.kind === 'away') this.#become({ ...this.#state, retryAt: undefined });
    this.#provider.connect();
    this.#dialling = setTimeout(() => {
      if (this.#provider.wsconnecting) this.#provider.ws?.close();
    }, dialTime);
  }

  readonly #onStatus = ({ status }: { status: string }): void => {
    if (status === 'connected') this.#become({ kind: 'online' });
  };

  // Not when it is connected: a server that takes us in and sends us away must be spared as one that does not answer.
  readonly #onSync = (isSynced: boolean): void => {
    if (isSynced) this.#failures = 0;
  };

  // Without an event it was closed on this side: by us, or by the provider, which hears nothing any more and would come
  // back as it does. A server that fell silent did so for all pages at once.
  readonly #onLocalClose = (event: CloseEvent | null): void => {
    if (event !== null || !this.#provider.shouldConnect) return;
    this.#provider.shouldConnect = false;
    this.#wait(this.#silence());
  };

  readonly #onClosed = ({ code, reason }: { code: number; reason: string }): void => {
    clearTimeout(this.#dialling);
    if (isFinal(code)) {
      this.#become({ kind: 'refused', why: refusalOf(code), code: reason || `${code}` });
      return;
    }
    if (code === serverRestarts) this.#restartsUntil = Date.now() + restartTime;
    const isBusy = code === serverError || code === tryAgainLater || code >= 4000;
    this.#wait(isBusy ? 'unavailable' : this.#silence());
  };

  #wait(why: Absence): void {
    const delay = retryDelay(this.#failures);
    this.#failures += 1;
    this.#waiting = setTimeout(() => this.#dial(), delay);
    this.#become({ kind: 'away', why, retryAt: Date.now() + delay });
  }

  #silence(): Absence {
    if (!navigator.onLine) return 'offline';
    return Date.now() < this.#restartsUntil ? 'restarting' : 'unreachable';
  }

  // A browser that goes offline leaves an open WebSocket open and silent. A new attempt tells whether the server is
  // really out of reach: one on this machine is not.
  readonly #redial = (): void => {
    if (this.#state.kind === 'refused') return;
    this.#provider.disconnect();
    this.#become({ kind: 'away', why: this.#silence(), retryAt: undefined });
    this.#dial();
  };

  readonly #onVisibility = (): void => {
    if (document.visibilityState === 'visible') this.#hurry();
  };

  readonly #hurry = (): void => {
    if (this.#state.kind === 'away' && this.#state.retryAt !== undefined) this.#dial();
  };
}

/** By the convention of y-websocket: what reconnecting cannot mend. */
function isFinal(code: number): boolean {
  return code >= 4400 && code < 4500;
}

function refusalOf(code: number): Refusal {
  if (code === tooLarge) return 'too large';
  return code === notFound ? 'deleted' : 'no access';
}
