import * as Y from 'yjs';
import { SyncStep, encodeSync } from '../protocol/frames.ts';
import type { Document } from './host.ts';

/** Different state vectors that are answered at one state: mostly the empty one, and those of people who come back. */
const MAX_ANSWERS = 8;

/**
 * Answers to state vectors. A room that comes back at once asks the same thing; what a large document is encoded to is
 * shared, frame and all, until the document changes. (400 requests for one of 5 MB once made 2.7 GB.)
 */
export class StateAnswers {
  readonly #document: Document;
  readonly #frames = new Map<string, Uint8Array>();

  constructor(document: Document) {
    this.#document = document;
    document.on('update', () => this.#frames.clear());
  }

  /**
   * The frame with what a state vector lacks. Shared: never written to.
   * @param stateVector - one that decodes
   */
  frame(address: string, stateVector: Uint8Array): Uint8Array {
    const key = `${address}\0${Buffer.from(stateVector).toString('latin1')}`;
    const known = this.#frames.get(key);
    if (known !== undefined) return known;
    const frame = encodeSync(address, SyncStep.Missing, Y.encodeStateAsUpdate(this.#document, stateVector));
    if (this.#frames.size >= MAX_ANSWERS) this.#frames.clear();
    this.#frames.set(key, frame);
    return frame;
  }
}
