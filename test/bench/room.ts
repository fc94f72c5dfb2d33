import { randomInt } from 'node:crypto';
import * as Y from 'yjs';
import { decodeStates, encodeStates } from '../helpers/states.ts';
import { type Content, TEXT } from './documents.ts';
import { Member, type Place } from './member.ts';
import { type Crowd, writersOf } from './workload.ts';

export interface RoomOptions {
  crowd: Crowd;
  content: Content;
  /** Where each of its people is. */
  places: readonly Place[];
  /** How many edits each who types has. */
  edits: number;
  /** Whether the server acknowledges edits. */
  hasAcks: boolean;
  /** Called when it may have become settled. */
  onSettled: () => void;
}

/** Somebody who types. */
interface Author {
  member: Member;
  /** Of one clock each; made before, so that making them keeps nobody waiting. */
  edits: Uint8Array[];
  /** When each edit was sent. */
  sentAt: number[];
  acked: number;
  /** The first one that is measured. */
  measuredFrom: number;
}

/** Somebody's cursor. */
interface Cursor {
  id: number;
  member: Member;
  sentAt: number[];
  /** The last one that the watcher has been told of. */
  seen: number;
}

/** What has been seen in documents since {@link Room.measure}. Times are in milliseconds. */
export interface Seen {
  /** Edits. */
  sent: number;
  /** How many of them have not come to somebody else in the document. */
  undelivered: number;
  /** How many were to be acknowledged, and were not. */
  unacknowledged: number;
  /** From the sending of each edit to its arrival at each of the others. */
  arrivals: number[];
  /** And to its ack. */
  acks: number[];
  /** From somebody's coming until all of the document is there. */
  opens: number[];
  /** From the sending of those moves of cursors that were told to its arrival at one who watches. */
  moves: number[];
  /** Cursors that are shown where they no longer are. */
  stale: number;
}

/** A document and its people: one program types, moves cursors, and sees what comes of it. */
export class Room {
  readonly #options: RoomOptions;
  readonly #members: readonly Member[];
  readonly #authors = new Map<number, Author>();
  readonly #cursors = new Map<number, Cursor>();
  /** Hears of cursors, which would be too much for all. */
  readonly #watcher: Member | undefined;
  readonly #seen: Seen;
  #sent = 0;
  #arrived = 0;
  #acked = 0;

  constructor(options: RoomOptions) {
    this.#options = options;
    const { places, crowd } = options;
    this.#members = places.map((place) => new Member(place));
    for (const member of this.#members.slice(0, writersOf(crowd))) this.#addAuthor(member);
    for (const member of this.#members.slice(0, crowd.movers ?? 0)) this.#addCursor(member);
    this.#watcher = crowd.movers === undefined ? undefined : this.#members.at(-1);
    if (this.#watcher) this.#watcher.onPresence = (update) => this.#watch(update);
    for (const member of this.#members)
      member.onEdits = ({ client, from, to }) => this.#take(member, client, from, to);
    this.#seen = { ...this.#counts, arrivals: [], acks: [], opens: [], moves: [], stale: 0 };
  }

  /** Somebody writes what the document is to hold, and leaves. */
  async fill(): Promise<void> {
    const { content, hasAcks, places } = this.#options;
    const [place] = places;
    if (content.updates.length === 0 || place === undefined) return;
    const writer = new Member(place);
    await writer.enter(new Map());
    let acked = 0;
    const saved = Promise.withResolvers<void>();
    writer.onAck = () => {
      acked += 1;
      if (acked === content.updates.length) saved.resolve();
    };
    for (const update of content.updates) writer.send({ type: 'update', update });
    if (hasAcks) await saved.promise;
    else await this.#read(place);
    writer.leave();
  }

  /** @returns for each of its people how that one comes in */
  get doors(): Array<() => Promise<void>> {
    return this.#members.map((member) => async () => {
      const since = performance.now();
      await member.enter(this.#options.content.clocks);
      this.#seen.opens.push(performance.now() - since);
    });
  }

  /** @returns for each who types how that one does it once */
  get typing(): Array<() => void> {
    const { burst = 1 } = this.#options.crowd;
    return [...this.#authors.values()].map((author) => () => {
      for (let edit = 0; edit < burst; edit += 1) this.#type(author);
    });
  }

  /** @returns for each who moves a cursor how that one does it once */
  get moving(): Array<() => void> {
    return [...this.#cursors.values()].map((cursor) => () => this.#move(cursor));
  }

  /** Everything that was typed is acknowledged and has arrived everywhere, and all cursors are where they are. */
  get isSettled(): boolean {
    const { undelivered, unacknowledged } = this.#counts;
    return undelivered === 0 && unacknowledged === 0 && this.#seen.stale === 0;
  }

  /** What has been so far does not count. */
  measure(): void {
    const { arrivals, acks, opens, moves } = this.#seen;
    arrivals.length = acks.length = opens.length = moves.length = 0;
    this.#sent = this.#arrived = this.#acked = 0;
    for (const author of this.#authors.values()) author.measuredFrom = author.sentAt.length;
    for (const member of this.#members) member.frames = 0;
  }

  get seen(): Seen {
    return { ...this.#seen, ...this.#counts };
  }

  /** Frames that have come since {@link measure}. */
  get frames(): number {
    return this.#members.reduce((sum, { frames }) => sum + frames, 0);
  }

  /** Connections that the server has closed. */
  get cuts(): number {
    return this.#members.filter(({ isCut }) => isCut).length;
  }

  get #counts(): Pick<Seen, 'sent' | 'undelivered' | 'unacknowledged'> {
    return {
      sent: this.#sent,
      undelivered: this.#sent * (this.#members.length - 1) - this.#arrived,
      unacknowledged: this.#options.hasAcks ? this.#sent - this.#acked : 0,
    };
  }

  async #read(place: Place): Promise<void> {
    const reader = new Member(place);
    await reader.enter(this.#options.content.clocks);
    reader.leave();
  }

  #addAuthor(member: Member): void {
    const { content, edits } = this.#options;
    const doc = new Y.Doc();
    Y.applyUpdate(doc, content.state);
    const author: Author = { member, edits: [], sentAt: [], acked: 0, measuredFrom: 0 };
    const text = doc.getText(TEXT);
    doc.on('update', (update: Uint8Array) => author.edits.push(update));
    for (let edit = 0; edit < edits; edit += 1) text.insert(text.length, 'x');
    doc.destroy();
    this.#authors.set(doc.clientID, author);
    member.onAck = () => this.#onAck(author);
  }

  #addCursor(member: Member): void {
    const id = randomInt(2 ** 31);
    this.#cursors.set(id, { id, member, sentAt: [], seen: 0 });
  }

  #type(author: Author): void {
    const update = author.edits[author.sentAt.length];
    if (update === undefined) throw new Error('there are no more edits');
    this.#sent += 1;
    author.sentAt.push(performance.now());
    author.member.send({ type: 'update', update });
  }

  #move({ id, member, sentAt, seen }: Cursor): void {
    if (member !== this.#watcher && seen === sentAt.length) this.#seen.stale += 1;
    const move = sentAt.push(performance.now());
    const update = encodeStates([{ id, clock: move, state: stateOf(id, move) }]);
    member.send({ type: 'awareness', update });
  }

  #onAck(author: Author): void {
    const edit = author.acked;
    author.acked += 1;
    if (edit < author.measuredFrom) return;
    this.#seen.acks.push(performance.now() - (author.sentAt[edit] ?? NaN));
    this.#acked += 1;
    this.#settle();
  }

  #take(member: Member, client: number, from: number, to: number): void {
    const author = this.#authors.get(client);
    // Some servers send people their own edits.
    if (author === undefined || author.member === member) return;
    const now = performance.now();
    for (let edit = Math.max(from, author.measuredFrom); edit < to; edit += 1) {
      this.#seen.arrivals.push(now - (author.sentAt[edit] ?? NaN));
      this.#arrived += 1;
    }
    this.#settle();
  }

  #watch(update: Uint8Array): void {
    const now = performance.now();
    for (const { id, state } of decodeStates(update)) {
      const cursor = this.#cursors.get(id);
      const move = moveIn(state);
      if (cursor === undefined || cursor.member === this.#watcher || move <= cursor.seen) continue;
      cursor.seen = move;
      this.#seen.moves.push(now - (cursor.sentAt[move - 1] ?? NaN));
      if (move === cursor.sentAt.length) this.#seen.stale -= 1;
    }
    this.#settle();
  }

  #settle(): void {
    if (this.isSettled) this.#options.onSettled();
  }
}

/** As editors send it, 200 bytes; and which move it is, since clocks are not the same on all ways. */
function stateOf(id: number, move: number): unknown {
  const position = { type: null, tname: TEXT, item: { client: id, clock: move }, assoc: 0 };
  return {
    user: { name: `Somebody ${id % 1000}`, color: '#30bced' },
    cursor: { anchor: position, head: position },
    move,
  };
}

/** Who leaves has no state. */
function moveIn(state: unknown): number {
  return (state as { move: number } | null)?.move ?? 0;
}
