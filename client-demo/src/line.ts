import type { WebsocketProvider } from 'y-websocket';
import { retryDelay } from './backoff.ts';
import { Listeners } from './listeners.ts';

/**
 * How it stands with the connection to the server:
 *
 * - `connecting`: the first attempt has neither succeeded nor failed yet.
 * - `online`: there is a connection.
 * - `away`: there is none; another attempt follows at `retryAt` (as of `Date.now()`), or is on its way.
 * - `refused`: the server said that coming back is of no use, and there are no more attempts.
 */
export type LineState =
  | { readonly kind: 'connecting' | 'online' }
  | { readonly kind: 'away'; readonly why: Absence; readonly retryAt: number | undefined }
  | { readonly kind: 'refused'; readonly code: string };

/** This browser has no network; the server does not answer, restarts, or cannot serve the document for now. */
export type Absence = 'offline' | 'unreachable' | 'restarting' | 'unavailable';

const serverRestarts = 1012;
const serverError = 1011;
const tryAgainLater = 1013;
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

  constructor(provider: WebsocketProvider) {
    this.#provider = provider;
    provider.on('status', this.#onStatus);
    provider.on('sync', this.#onSync);
    provider.on('connection-close', this.#onLocalClose);
    provider.on('closed', this.#onClosed);
    window.addEventListener('offline', this.#redial);
    window.addEventListener('online', this.retry);
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#dial();
  }

  get state(): LineState {
    return this.#state;
  }

  readonly subscribe = this.#listeners.add;

  /** Does not wait for the next attempt. */
  readonly retry = (): void => {
    if (this.#state.kind === 'away' && this.#state.retryAt !== undefined) this.#dial();
  };

  close(): void {
    clearTimeout(this.#waiting);
    clearTimeout(this.#dialling);
    this.#provider.off('status', this.#onStatus);
    this.#provider.off('sync', this.#onSync);
    this.#provider.off('connection-close', this.#onLocalClose);
    this.#provider.off('closed', this.#onClosed);
    window.removeEventListener('offline', this.#redial);
    window.removeEventListener('online', this.retry);
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

  // Without an event it was closed on this side, and is opened again on this side.
  readonly #onLocalClose = (event: CloseEvent | null): void => {
    if (event === null) this.#become({ kind: 'away', why: this.#silence(), retryAt: undefined });
  };

  readonly #onClosed = ({ code, reason }: { code: number; reason: string }): void => {
    clearTimeout(this.#dialling);
    if (isFinal(code)) {
      this.#become({ kind: 'refused', code: reason || `${code}` });
      return;
    }
    if (code === serverRestarts) this.#restartsUntil = Date.now() + restartTime;
    const isBusy = code === serverError || code === tryAgainLater || code >= 4000;
    const delay = retryDelay(this.#failures);
    this.#failures += 1;
    this.#waiting = setTimeout(() => this.#dial(), delay);
    this.#become({
      kind: 'away',
      why: isBusy ? 'unavailable' : this.#silence(),
      retryAt: Date.now() + delay,
    });
  };

  #silence(): Absence {
    if (!navigator.onLine) return 'offline';
    return Date.now() < this.#restartsUntil ? 'restarting' : 'unreachable';
  }

  // A browser that goes offline leaves an open WebSocket open and silent. A new attempt tells whether the server is
  // really out of reach: one on this machine is not.
  readonly #redial = (): void => {
    if (this.#state.kind === 'refused') return;
    this.#provider.disconnect();
    this.#dial();
  };

  readonly #onVisibility = (): void => {
    if (document.visibilityState === 'visible') this.retry();
  };
}

/** By the convention of y-websocket: what reconnecting cannot mend. */
function isFinal(code: number): boolean {
  return code >= 4400 && code < 4500;
}
