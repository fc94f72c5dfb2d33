import type { WebsocketProvider } from 'y-websocket';

export type Awareness = WebsocketProvider['awareness'];

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
