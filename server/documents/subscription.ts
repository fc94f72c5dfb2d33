import * as Y from 'yjs';
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { DocumentListener } from './documents.ts';
import type { Hold } from './hold.ts';

/** What a subscription needs of the hub. */
export interface SubscriptionHub {
  readonly log: Log;
  hold(name: string): Promise<Hold>;
}

/** Tells a program of the changes of a document, which stays in memory for that. */
export class Subscription {
  readonly #hub: SubscriptionHub;
  readonly #name: string;
  readonly #listener: DocumentListener;
  #hold: Hold | undefined;
  #isOver = false;

  /** @returns what ends it */
  static async begin(hub: SubscriptionHub, name: string, listener: DocumentListener): Promise<() => void> {
    const subscription = new Subscription(hub, name, listener);
    await subscription.#follow();
    return () => subscription.#end();
  }

  private constructor(hub: SubscriptionHub, name: string, listener: DocumentListener) {
    this.#hub = hub;
    this.#name = name;
    this.#listener = listener;
  }

  readonly #onUpdate = (update: Uint8Array, _origin: unknown, doc: Y.Doc) => this.#tell(update, doc);

  async #follow(): Promise<Y.Doc> {
    const hold = await this.#hub.hold(this.#name);
    const { document } = hold.open;
    this.#hold = hold;
    document.on('update', this.#onUpdate);
    if (this.#isOver) this.#end();
    // Does not reject.
    else hold.whenLost(() => void this.#followAgain(document));
    return document;
  }

  /** The document was dropped from memory. What it is when it is back may be more than was told, or less. */
  async #followAgain(lost: Y.Doc): Promise<void> {
    lost.off('update', this.#onUpdate);
    try {
      const document = await this.#follow();
      if (!this.#isOver) this.#tell(Y.encodeStateAsUpdate(document), document);
    } catch (error) {
      this.#hub.log.error({ document: this.#name, err: messageOf(error) }, 'a subscription has ended');
    }
  }

  #tell(update: Uint8Array, doc: Y.Doc): void {
    const failed = (error: unknown) =>
      this.#hub.log.error({ document: this.#name, err: error }, 'a listener of a document failed');
    try {
      const result = this.#listener({ update, doc });
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #end(): void {
    this.#isOver = true;
    this.#hold?.open.document.off('update', this.#onUpdate);
    this.#hold?.release();
  }
}
