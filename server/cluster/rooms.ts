/** One document that this instance hears of. */
interface Room {
  /** Messages with updates that this instance has sent of it. */
  count: number;
  /** The number of the last of these in the log of this instance. */
  relayed: number;
  /** And how many of another instance are known to have been sent. */
  readonly heard: Map<string, number>;
  /** Resolves when it hears of the document. */
  readonly joined: Promise<unknown>;
  /** Whether the document is in memory: before that, what is said of it goes nowhere. */
  isOpen: boolean;
}

/**
 * The documents that this instance hears of, and the count of messages with updates in each: so that it is noticed when one does
 * not arrive, whatever was in it. A lost deletion leaves no gap in a state vector.
 */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  /** At least as high as the count of any room so far: who opens a document again must not count what others have heard already. */
  #sent = 0;

  get size(): number {
    return this.#rooms.size;
  }

  has(document: string): boolean {
    return this.#rooms.has(document);
  }

  add(document: string, joined: Promise<unknown>): void {
    this.#rooms.set(document, { count: this.#sent, relayed: 0, heard: new Map(), joined, isOpen: false });
  }

  delete(document: string): void {
    this.#rooms.delete(document);
  }

  /** A document that was added takes in what is said of it from now on. */
  opened(document: string): void {
    const room = this.#rooms.get(document);
    if (room) room.isOpen = true;
  }

  /** Resolves when it hears of a document that was added. */
  async joined(document: string): Promise<void> {
    await this.#rooms.get(document)?.joined;
  }

  /** How many messages with updates this instance has sent of a document. */
  count(document: string): number {
    return this.#rooms.get(document)?.count ?? 0;
  }

  /** The number in the log of this instance of the last message with updates that it has sent of a document. */
  relayed(document: string): number {
    return this.#rooms.get(document)?.relayed ?? 0;
  }

  /**
   * One more is about to be sent.
   * @param sequence - its number in the log of this instance
   * @returns the count with it
   */
  countOne(document: string, sequence: number): number {
    this.#sent += 1;
    const room = this.#rooms.get(document);
    if (room === undefined) return this.#sent;
    room.count += 1;
    room.relayed = sequence;
    return room.count;
  }

  /** A message with updates has arrived. @returns whether one before it has not */
  hasMissed(document: string, instance: string, count: number): boolean {
    return this.#jumps(document, instance, count, count - 1);
  }

  /** An instance has said how many it has sent. @returns whether one of them has not arrived */
  isBehind(document: string, instance: string, count: number): boolean {
    return this.#jumps(document, instance, count, count);
  }

  /** What an instance has sent so far is here, or will be. */
  isWhole(document: string, instance: string, count: number): void {
    const heard = this.#rooms.get(document)?.heard;
    if ((heard?.get(instance) ?? -1) < count) heard?.set(instance, count);
  }

  forget(instance: string): void {
    for (const { heard } of this.#rooms.values()) heard.delete(instance);
  }

  #jumps(document: string, instance: string, count: number, expected: number): boolean {
    const room = this.#rooms.get(document);
    if (room === undefined) return false;
    const known = room.heard.get(instance) ?? -1;
    if (known >= count) return false;
    if (room.isOpen) room.heard.set(instance, count);
    // Nothing is known of it any more: its next message will be one too many, unless it has answered by then.
    else room.heard.delete(instance);
    return room.isOpen && known < expected;
  }
}
