import * as Y from 'yjs';
import { SyncStep, encodeSync } from '../protocol/frames.ts';
import type { Document } from './host.ts';

/** Different state vectors that are answered at one state: mostly the empty one, and those of people who come back. */
const MAX_ANSWERS = 8;
/** A room comes back within this time; afterwards the answers would only be in memory. */
const SERVE_MS = 5_000;

/**
 * Answers to state vectors. A room that comes back at once asks the same thing; what a large document is encoded to is
 * shared, frame and all, until the document changes. (400 requests for one of 5 MB once made 2.7 GB.)
 */
export class StateAnswers {
  readonly #document: Document;
  readonly #answers = new Map<string, { readonly update: Uint8Array; readonly frame: Uint8Array }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(document: Document) {
    this.#document = document;
    document.on('update', () => this.#clear());
    document.on('destroy', () => this.#clear());
  }

  /**
   * The frame with what a state vector lacks. Shared between all who use the plain name for an address, which y-websocket
   * does too: never written to.
   * @param stateVector - one that decodes
   */
  frame(address: string, stateVector: Uint8Array): Uint8Array {
    const { update, frame } = this.#answer(stateVector);
    return address === this.#document.name ? frame : encodeSync(address, SyncStep.Missing, update);
  }

  #answer(stateVector: Uint8Array): { update: Uint8Array; frame: Uint8Array } {
    const key = Buffer.from(stateVector).toString('latin1');
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    if (this.#answers.size >= MAX_ANSWERS) this.#answers.clear();
    const encoded = Y.encodeStateAsUpdate(this.#document, stateVector);
    const frame = encodeSync(this.#document.name, SyncStep.Missing, encoded);
    // A part of the frame, so that the bytes are held once.
    const answer = { frame, update: frame.subarray(frame.byteLength - encoded.byteLength) };
    this.#answers.set(key, answer);
    this.#timer ??= setTimeout(() => this.#clear(), SERVE_MS).unref();
    return answer;
  }

  #clear(): void {
    if (this.#answers.size > 0) this.#answers.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
