import type { WebsocketProvider } from 'y-websocket';
import type { Address } from './address.ts';
import { type Access, askRights } from './api.ts';
import { Listeners } from './listeners.ts';
import { recall, remember } from './stored.ts';

/** What the server lets us do, as far as it is known; asked whenever the line is there. */
export class Permission {
  readonly #address: Address;
  readonly #provider: WebsocketProvider;
  readonly #key: string;
  readonly #listeners = new Listeners();
  #access: Access | 'unknown';

  constructor(address: Address, provider: WebsocketProvider) {
    this.#address = address;
    this.#provider = provider;
    // The end of its signature tells one token from another, and opens nothing.
    this.#key = `access:${address.path}:${address.token?.slice(-12) ?? ''}`;
    this.#access = readAccess(recall(this.#key)) ?? (address.token === undefined ? 'write' : 'unknown');
    provider.on('sync', this.#onSync);
  }

  /** Whether we may only read; also while that is not known. */
  get isReadOnly(): boolean {
    return this.#access !== 'write';
  }

  /** Whether we may only read, as the server has said. */
  get isReader(): boolean {
    return this.#access === 'read';
  }

  readonly subscribe = this.#listeners.add;

  close(): void {
    this.#provider.off('sync', this.#onSync);
  }

  readonly #onSync = (isSynced: boolean): void => {
    if (isSynced) void this.#ask();
  };

  async #ask(): Promise<void> {
    const rights = await askRights(this.#address);
    // Another server than this, or one that is just going away: it refuses by itself what we may not do.
    const access = rights?.access ?? (this.#access === 'unknown' ? 'write' : this.#access);
    if (rights) remember(this.#key, rights.access);
    if (access === this.#access) return;
    this.#access = access;
    this.#listeners.call();
  }
}

function readAccess(text: string | null): Access | undefined {
  return text === 'read' || text === 'write' ? text : undefined;
}
