import { IndelibleError, type ErrorCode } from '../errors.ts';
import { Acks } from './acks.ts';
import type { OpenDocument } from './open-document.ts';

/** What a hold needs of the hub. */
export interface HoldHub {
  settle(acks: Acks, open: OpenDocument): void;
  forget(acks: Acks): void;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: IndelibleError) => void;
}

/** A document that a program has in memory. */
export class Hold {
  readonly open: OpenDocument;
  readonly #hub: HoldHub;
  readonly #release: () => void;
  readonly #acks = new Acks(
    () => this.#waiting.shift()?.resolve(),
    () => {},
  );
  /** For acks, in their order. */
  readonly #waiting: Waiting[] = [];
  #isOver = false;
  #isLost = false;
  /** What becomes of those who wait when it is let go. */
  #code: ErrorCode = 'document_reset';
  #onLost: () => void = () => {};

  /** @param release - lets the document go */
  constructor(hub: HoldHub, open: OpenDocument, release: () => void) {
    this.#hub = hub;
    this.open = open;
    this.#release = release;
  }

  /** Whether it was let go, or lost. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Calls the listener, which must not throw, when the document is dropped from memory, or if it was. */
  whenLost(listener: () => void): void {
    if (this.#isLost) listener();
    else this.#onLost = listener;
  }

  /**
   * Resolves when everything is committed that the document holds by now.
   * @throws {@link IndelibleError} `document_reset` when the document is dropped from memory before: the change may be lost, or come
   * back with somebody who has seen it; `document_deleted`
   */
  committed(): Promise<void> {
    if (this.#isOver) return Promise.reject(new IndelibleError(this.#code));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ resolve, reject });
    this.#acks.owe(this.open.due, performance.now());
    this.#hub.settle(this.#acks, this.open);
    return promise;
  }

  /** Lets the document go. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#hub.forget(this.#acks);
    for (const { reject } of this.#waiting.splice(0)) reject(new IndelibleError(this.#code));
    this.#release();
  }

  /** The document is dropped from memory. */
  lose(code: ErrorCode): void {
    if (this.#isOver) return;
    this.#code = code;
    this.release();
    this.#isLost = true;
    this.#onLost();
  }
}
