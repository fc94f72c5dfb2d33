import type { WebsocketProvider } from 'y-websocket';
import { type Address, keyOf, socketUrl } from './address.ts';
import { type Access, askRights } from './api.ts';
import { retryDelay } from './backoff.ts';
import { Listeners } from './listeners.ts';
import { forget, recall, remember } from './stored.ts';

/** What the server lets us do; `unknown` until it has said so, now or at an earlier visit. */
export type KnownAccess = Access | 'unknown';

/** On a server that asks for no tokens whoever has none may write, also into documents that are new here. */
const openKey = `open:${socketUrl()}`;

/** Asks the server what we may do whenever the line is there, until it answers. */
export class Permission {
  readonly #address: Address;
  readonly #provider: WebsocketProvider;
  readonly #key: string;
  readonly #listeners = new Listeners();
  #access: KnownAccess;
  #waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(address: Address, provider: WebsocketProvider) {
    this.#address = address;
    this.#provider = provider;
    // The end of its signature tells one token from another, and opens nothing.
    this.#key = `access:${keyOf(address)}:${address.token?.slice(-12) ?? ''}`;
    const isOpen = address.token === undefined && recall(openKey) !== null;
    this.#access = readAccess(recall(this.#key)) ?? (isOpen ? 'write' : 'unknown');
    provider.on('sync', this.#onSync);
  }

  get access(): KnownAccess {
    return this.#access;
  }

  readonly subscribe = this.#listeners.add;

  close(): void {
    clearTimeout(this.#waiting);
    this.#provider.off('sync', this.#onSync);
  }

  readonly #onSync = (isSynced: boolean): void => {
    clearTimeout(this.#waiting);
    if (isSynced) void this.#ask();
  };

  async #ask(failures = 0): Promise<void> {
    const rights = await askRights(this.#address);
    if (!this.#provider.synced) return; // asked again when it is
    if (rights === undefined) {
      clearTimeout(this.#waiting);
      this.#waiting = setTimeout(() => void this.#ask(failures + 1), retryDelay(failures));
      return;
    }
    remember(this.#key, rights.access);
    if (rights.isOpenToAll) remember(openKey, 'yes');
    else forget(openKey);
    if (rights.access === this.#access) return;
    this.#access = rights.access;
    this.#listeners.call();
  }
}

function readAccess(text: string | null): Access | undefined {
  return text === 'read' || text === 'write' ? text : undefined;
}
