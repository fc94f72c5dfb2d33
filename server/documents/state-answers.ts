import * as Y from 'yjs';
import { SyncStep, encodeSync } from '../protocol/frames.ts';
import type { Document } from './host.ts';
import { encodeState } from './state-encoding.ts';

/** Different state vectors that are answered at one state: mostly the empty one, and those of people who come back. */
const MAX_ANSWERS = 8;
/** A room comes back within this time; afterwards the answers would only be in memory. */
const SERVE_MS = 5_000;
/**
 * How fast a document is encoded again while some of what it was encoded to is still on its way, which holds it in memory: with
 * 5 MB, a slow room of 400 that asked again and again while others typed held 360 MB, each asker one of its own. Who waits
 * shares the next one.
 */
const ENCODED_BYTES_PER_MS = 5_000;
const MAX_PAUSE_MS = 1_000;

/** Of who has nothing. */
const NOTHING = keyOf(Y.encodeStateVector(new Y.Doc()));

/** What Yjs takes some 20 ms to encode; beyond it, it is done in several turns of the event loop. */
const MANY_STRUCTS = 20_000;

interface Answer {
  readonly update: Uint8Array;
  readonly frame: Uint8Array;
  /** Changes that the document had seen. */
  readonly changes: number;
}

/** A state vector of somebody who waits for what it lacks. */
export interface Question {
  readonly stateVector: Uint8Array;
  /** Of the answers that serve it. */
  readonly key: string;
  /** Changes that the document had seen when it was asked. */
  readonly changes: number;
}

/**
 * Answers to state vectors. A room that comes back at once asks the same thing; what a large document is encoded to is
 * shared, frame and all, between all who had asked by then. (400 requests for one of 5 MB once made 2.7 GB.) Somebody who
 * waits for an answer is sent every change meanwhile, so that an answer may be older than its sending, but not than its question.
 */
export class StateAnswers {
  readonly #document: Document;
  readonly #onEncoded: () => void;
  /** What the document was made of, until somebody asks: who has nothing is answered with it, if nothing has changed by then. */
  #stored: Uint8Array | null;
  readonly #answers = new Map<string, Answer>();
  #changes = 0;
  /** What waited in the document when its changes were counted last. */
  #aside: readonly unknown[] = [undefined, null];
  /** Questions that are not answered yet. */
  #waiting = 0;
  /** Answers that have not left yet. */
  #leaving = 0;
  /** When the document may be encoded again though some are leaving; milliseconds of `performance.now()`. */
  #nextAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isEncoding = false;
  #cannotBeEncoded = false;

  /**
   * @param options - `stored` is all that the document holds, encoded; `onEncoded` is called when a question can be answered that could
   * not be, since that took several turns
   */
  constructor(
    document: Document,
    { stored, onEncoded }: { stored: Uint8Array | null; onEncoded: () => void },
  ) {
    this.#document = document;
    this.#stored = stored;
    this.#onEncoded = onEncoded;
    if (stored !== null) this.#clearLater();
    document.on('update', () => {
      this.#changes += 1;
      this.#stored = null;
      if (this.#waiting === 0) this.#clear();
    });
    document.on('destroy', () => this.#clear());
  }

  /**
   * Somebody who is sent every change from now on asks.
   * @param stateVector - one that decodes
   */
  ask(stateVector: Uint8Array): Question {
    this.#waiting += 1;
    const question = { stateVector, key: keyOf(stateVector), changes: this.#countChanges() };
    const stored = this.#stored;
    this.#stored = null;
    if (stored !== null && question.key === NOTHING && question.changes === 0)
      this.#keep(NOTHING, 0, [stored]);
    return question;
  }

  /** Whether a question can be answered now; else somewhat later. What takes long to encode is begun to be. */
  isReady(question: Question): boolean {
    if (this.#find(question) !== undefined) return true;
    if (this.#leaving > 0 && performance.now() < this.#nextAt) return false;
    if (this.#isEncoding) return false;
    if (!this.#takesLong()) return true;
    // It does not reject.
    void this.#encodeInTurns(question);
    return false;
  }

  /**
   * The frame with what a question's state vector lacks; {@link left} must be called when it has left. Shared between all who use
   * the plain name for an address, which y-websocket does too: never written to.
   */
  frame(address: string, question: Question): Uint8Array {
    const { update, frame } = this.#find(question) ?? this.#encode(question);
    this.#leaving += 1;
    return address === this.#document.name ? frame : encodeSync(address, SyncStep.Missing, update);
  }

  /** A frame has left, or never will. */
  left(): void {
    this.#leaving -= 1;
  }

  /** One of those who asked waits no more: answered, or gone. */
  close(): void {
    this.#waiting -= 1;
  }

  /** Of an update that waits for others nobody is told, so that is a change when somebody asks. */
  #countChanges(): number {
    const { pendingStructs, pendingDs } = this.#document.store;
    const aside = [pendingStructs?.update, pendingDs];
    if (aside.some((bytes, index) => bytes !== this.#aside[index])) {
      this.#aside = aside;
      this.#changes += 1;
    }
    return this.#changes;
  }

  #find({ key, changes }: Question): Answer | undefined {
    const known = this.#answers.get(key);
    return known !== undefined && known.changes >= changes ? known : undefined;
  }

  #takesLong(): boolean {
    if (this.#cannotBeEncoded) return false;
    let structs = 0;
    for (const { length } of this.#document.store.clients.values()) structs += length;
    return structs > MANY_STRUCTS;
  }

  /** What throws does so again when it is asked for. */
  async #encodeInTurns({ key, stateVector }: Question): Promise<void> {
    this.#isEncoding = true;
    const changes = this.#countChanges();
    try {
      const pieces = await encodeState(this.#document, stateVector);
      this.#keep(key, changes, pieces);
    } catch {
      this.#cannotBeEncoded = true;
    } finally {
      this.#isEncoding = false;
      this.#onEncoded();
    }
  }

  #encode({ key, stateVector }: Question): Answer {
    return this.#keep(key, this.#countChanges(), [Y.encodeStateAsUpdate(this.#document, stateVector)]);
  }

  #keep(key: string, changes: number, update: readonly Uint8Array[]): Answer {
    if (this.#answers.size >= MAX_ANSWERS) this.#answers.clear();
    const frame = encodeSync(this.#document.name, SyncStep.Missing, ...update);
    const length = update.reduce((sum, { byteLength }) => sum + byteLength, 0);
    // A part of the frame, so that the bytes are held once.
    const answer = { frame, update: frame.subarray(frame.byteLength - length), changes };
    this.#answers.set(key, answer);
    this.#clearLater();
    this.#nextAt = performance.now() + Math.min(frame.byteLength / ENCODED_BYTES_PER_MS, MAX_PAUSE_MS);
    return answer;
  }

  #clearLater(): void {
    this.#timer ??= setTimeout(() => this.#clear(), SERVE_MS).unref();
  }

  #clear(): void {
    this.#stored = null;
    if (this.#answers.size > 0) this.#answers.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function keyOf(stateVector: Uint8Array): string {
  return Buffer.from(stateVector).toString('latin1');
}
