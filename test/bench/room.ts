import * as Y from 'yjs';
import type { Received } from '../helpers/frames.ts';
import { TEXT } from './documents.ts';
import { Member } from './member.ts';

export interface RoomOptions {
  document: string;
  /** Where its only writer is. */
  writerUrl: string;
  /** Where its readers are, one at each. */
  readerUrls: string[];
  /** What it holds before anybody types. */
  content: Uint8Array;
  /** How many edits can be typed. */
  edits: number;
  /** Called when it may have become settled. */
  onSettled: () => void;
}

/** A document in which one types and the others read. Which edit it was that arrived its clock says. */
export class Room {
  readonly #options: RoomOptions;
  readonly #writer: Member;
  readonly #readers: Member[];
  /** Updates to be typed, of one clock each; made before, so that making them keeps nobody waiting. */
  readonly #edits: Uint8Array[] = [];
  /** When each edit was sent. */
  readonly #sentAt: number[] = [];
  #measuredFrom = 0;
  #acked = 0;
  #arrived = 0;
  /** Milliseconds from the sending of an edit to its arrival at each reader, and to its ack. */
  readonly arrivals: number[] = [];
  readonly acks: number[] = [];

  constructor(options: RoomOptions) {
    this.#options = options;
    const { document, writerUrl, readerUrls } = options;
    this.#writer = new Member(writerUrl, document);
    this.#readers = readerUrls.map((url) => new Member(url, document));
  }

  async open(): Promise<void> {
    const { content, edits } = this.#options;
    const stored = Promise.withResolvers<void>();
    this.#writer.onFrame = ({ type }) => type === 'sync-status' && stored.resolve();
    await this.#writer.enter();
    this.#writer.send({ type: 'update', update: content });
    await stored.promise;
    await Promise.all(this.#readers.map((reader) => reader.enter()));
    // Who types is somebody else than who wrote what is there.
    const doc = new Y.Doc();
    Y.applyUpdate(doc, content);
    const text = doc.getText(TEXT);
    doc.on('update', (update: Uint8Array) => this.#edits.push(update));
    for (let typed = 0; typed < edits; typed += 1) text.insert(text.length, 'x');
    this.#writer.onFrame = (frame) => this.#onAck(frame);
    for (const reader of this.#readers) this.#watch(reader, doc.clientID);
  }

  type(): void {
    const update = this.#edits[this.#sentAt.length];
    if (update === undefined) throw new Error('there are no more edits');
    this.#sentAt.push(performance.now());
    this.#writer.send({ type: 'update', update });
  }

  /** Everything that was typed is acknowledged, and has arrived everywhere. */
  get isSettled(): boolean {
    const sent = this.#sentAt.length;
    return this.#acked === sent && this.#arrived === sent * this.#readers.length;
  }

  /** What was typed so far does not count. */
  measure(): void {
    this.#measuredFrom = this.#sentAt.length;
    this.arrivals.length = this.acks.length = 0;
  }

  get sent(): number {
    return this.#sentAt.length - this.#measuredFrom;
  }

  #onAck({ type }: Received): void {
    if (type !== 'sync-status') return;
    this.acks.push(performance.now() - (this.#sentAt[this.#acked] ?? NaN));
    this.#acked += 1;
    this.#settle();
  }

  /** What comes twice counts once: stock sends differences, which may hold what was there. */
  #watch(reader: Member, author: number): void {
    let seen = 0;
    reader.onFrame = (frame) => {
      if (frame.type !== 'update' && frame.type !== 'step2') return;
      const now = performance.now();
      for (const { id, length } of Y.decodeUpdate(frame.update).structs) {
        if (id.client !== author) continue;
        for (; seen < id.clock + length; seen += 1) {
          this.arrivals.push(now - (this.#sentAt[seen] ?? NaN));
          this.#arrived += 1;
        }
      }
      this.#settle();
    };
  }

  #settle(): void {
    if (this.isSettled) this.#options.onSettled();
  }
}
