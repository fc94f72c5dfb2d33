import type { WebsocketProvider } from 'y-websocket';

export type Awareness = WebsocketProvider['awareness'];

/**
 * Lets the others be seen as soon as the line is back. A provider that loses it takes them away and keeps their clocks, and with
 * the same clock they would be old news until they say again that they are there, after 15 s.
 */
export function forgetThoseGone(provider: WebsocketProvider): void {
  const { awareness } = provider;
  provider.on('status', ({ status }) => {
    if (status !== 'disconnected') return;
    for (const id of awareness.meta.keys()) if (id !== awareness.clientID) awareness.meta.delete(id);
  });
}

/** What this tab says of us: only while it is its turn, so that two tabs of one browser are one person for the others. */
export class OwnPresence {
  readonly #awareness: Awareness;
  #state: Record<string, unknown> = {};
  #isShown = false;

  constructor(awareness: Awareness) {
    this.#awareness = awareness;
    awareness.setLocalState(null);
  }

  set(name: 'user' | 'cursor' | 'idle', value: unknown): void {
    this.#state = { ...this.#state, [name]: value };
    if (this.#isShown) this.#awareness.setLocalState(this.#state);
  }

  show(isShown: boolean): void {
    this.#isShown = isShown;
    this.#awareness.setLocalState(isShown ? this.#state : null);
  }
}
