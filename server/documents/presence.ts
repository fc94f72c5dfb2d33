import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import { applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness';
import { IndelibleError } from '../errors.ts';
import {
  LEFT,
  identified,
  readPresence,
  soleStateOf,
  writePresence,
  type PresenceEntry,
} from '../protocol/presence.ts';
import type { Broadcast } from './broadcast.ts';
import { Clocks, type Change } from './clocks.ts';
import type { Connection, Document } from './host.ts';

/** A connection, and whose it is. */
export interface Speaker {
  readonly connection: Connection;
  /** `null` when nobody was asked. */
  readonly user: string | null;
  /** Told what is wrong with presence that was taken. */
  refusePresence(error: unknown): void;
}

/** Bounds on what one connection may say. */
export interface PresenceLimits {
  /** Ids that it may own. */
  readonly ids: number;
  /** Characters of one state as JSON. */
  readonly bytes: number;
}

/** Origin of what other instances say. */
const RELAYED = { source: 'redis' } as const;
/** Origin of what Yjs says for the server itself, who is nobody. */
const LOCAL = 'local';
/** Of UTF-8, for one of UTF-16. */
const MOST_BYTES_OF_A_CHARACTER = 3;
/** What an awareness update of one state has before it: count, id, clock and length. */
const HEAD_BYTES = 32;
/** What clients may count to; what is given to them is above it. */
const MAX_CLIENT_CLOCK = 2 ** 47;

/** Somebody who is connected to another instance. */
interface Elsewhere {
  readonly instance: string;
  readonly user: string | null;
  /** When that was said last, in milliseconds of `performance.now()`. */
  readonly toldAt: number;
}

/** What somebody has said of themselves, before it is read. */
interface Held {
  readonly speaker: Speaker;
  readonly id: number;
  readonly clock: number;
  readonly update: Uint8Array;
}

interface Owner {
  readonly connection: Connection;
  readonly user: string | null;
  /** The clock of what it said last. */
  said: number;
}

/**
 * Presence of one document: decides who may change which state, then applies it to the document's awareness, whose
 * changes Hocuspocus broadcasts.
 *
 * Most of what arrives are repeats: a y-websocket client sends every state back that it is sent, and tabs of one
 * browser repeat each other's. Applied, repeats would be N² work, and bring back people who left. So an id has one
 * owner, and what others say of it is dropped. It becomes a connection's
 *
 * - by an introduction: the first presence frame of a connection, with one state. That is no repeat, since a y-websocket
 *   client has been sent nobody's by then, and a HocuspocusProvider repeats nobody's. It takes over from an old socket of
 *   the same user, since a client that reconnects may be back before the end of its old socket is noticed.
 * - without one, if nobody owns it and the state is news: a client that has something to say later than at the start, or
 *   a tab that repeats another one whose own socket is still on its way. That one takes over when it introduces itself.
 *
 * What another instance says of its people has passed the same there. Who has moved to another instance is theirs as soon as they
 * say something newer.
 */
export class Presence {
  readonly #document: Document;
  readonly #limits: PresenceLimits;
  readonly #clocks: Clocks;
  readonly #owners = new Map<number, Owner>();
  /** The id with which a connection introduced itself. */
  readonly #homes = new WeakMap<Connection, number>();
  readonly #met = new WeakSet<Connection>();
  readonly #elsewhere = new Map<number, Elsewhere>();
  readonly #broadcast: Broadcast;
  /** What connections have said last of themselves while nobody is told of it. */
  readonly #held = new Map<Connection, Held>();

  /** @param onChange - told whose state has changed of those who are connected here, or were until now */
  constructor(
    document: Document,
    broadcast: Broadcast,
    limits: PresenceLimits,
    onChange: (ids: number[]) => void,
  ) {
    this.#document = document;
    this.#broadcast = broadcast;
    this.#limits = limits;
    this.#clocks = new Clocks(document, () => broadcast.flush());
    broadcast.onPresenceDue(() => this.#takeHeld());
    document.awareness.on('update', ({ added, updated, removed }: Change, origin: unknown) => {
      if (origin === RELAYED || origin === LOCAL) return;
      const ids = [...added, ...updated, ...removed].filter((id) => !this.#elsewhere.has(id));
      // Somebody who was not heard of for too long.
      for (const id of removed) this.#elsewhere.delete(id);
      if (ids.length > 0) onChange(ids);
    });
  }

  /**
   * Takes an awareness update of a connection. Whose it is, by their token, is written into their states. While presence waits to be
   * sent, of what somebody says of themselves only the last is read.
   * @throws when it does not decode, and {@link IndelibleError} `presence_too_large`; no state is changed then
   */
  receive(speaker: Speaker, update: Uint8Array): void {
    const { connection } = speaker;
    if (this.#isHeld(speaker, update)) return;
    this.#takeHeldOf(connection);
    const isIntroduction = !this.#met.has(connection);
    this.meet(connection);
    const entries = this.#read(connection, update);
    if (entries.length === 1 && entries[0]) this.#claim(speaker, entries[0], isIntroduction);
    this.#apply(this.#accept(speaker, entries, isIntroduction), { source: 'connection', connection });
  }

  #isHeld(speaker: Speaker, update: Uint8Array): boolean {
    // What is too large is refused at once: of each of a crowd it would be kept for a second.
    if (update.byteLength > this.#limits.bytes * MOST_BYTES_OF_A_CHARACTER + HEAD_BYTES) return false;
    const sole = soleStateOf(update);
    if (sole === null || this.#owners.get(sole.id)?.connection !== speaker.connection) return false;
    if (!this.#broadcast.presenceWaits()) return false;
    const held = this.#held.get(speaker.connection);
    // It may have another id, too.
    if (held !== undefined && held.id !== sole.id) return false;
    // A repeat.
    if (held !== undefined && held.clock >= sole.clock) return true;
    // Copied: it is a part of what was read of the socket.
    this.#held.set(speaker.connection, { ...sole, speaker, update: update.slice() });
    return true;
  }

  /** Of several nobody's but its own: what it does not own yet it is given only by a frame that carries it alone. */
  #read(connection: Connection, update: Uint8Array): PresenceEntry[] {
    return readPresence(update, (id) => this.#owners.get(id)?.connection === connection);
  }

  /** @returns what becomes of what somebody says */
  #accept(
    { connection, user }: Speaker,
    entries: readonly PresenceEntry[],
    isIntroduction: boolean,
  ): PresenceEntry[] {
    // Not what it repeats of others, which may have grown by their identity.
    const own = entries.filter((entry) => this.#isSaidByOwner(connection, entry));
    if (own.some(({ state }) => state.length > this.#limits.bytes)) {
      throw new IndelibleError('presence_too_large');
    }
    if (own.some(({ clock }) => clock > MAX_CLIENT_CLOCK)) throw new RangeError('out of bounds');
    const accepted = own.flatMap(
      (entry) => this.#clocks.stamp(identified(entry, user), isIntroduction) ?? [],
    );
    // When the connection ends, Hocuspocus removes these. It adds who is new to it itself, but not who comes back.
    const mine = this.#document.connections.get(connection)?.clients;
    for (const { id, state } of accepted) if (state !== LEFT) mine?.add(id);
    return accepted;
  }

  #apply(accepted: readonly PresenceEntry[], origin: unknown): void {
    if (accepted.length === 0) return;
    applyAwarenessUpdate(this.#document.awareness, writePresence(accepted), origin);
    this.#clocks.forgetOld();
  }

  /** Takes what was held back of a connection, before it says something else. */
  #takeHeldOf(connection: Connection): void {
    const held = this.#held.get(connection);
    if (held === undefined) return;
    this.#held.delete(connection);
    this.#apply(this.#acceptHeld(held), null);
  }

  #takeHeld(): void {
    const held = [...this.#held.values()];
    this.#held.clear();
    const accepted = held.flatMap((each) => this.#acceptHeld(each));
    // One that is refused takes along the others of its session.
    this.#apply(
      accepted.filter(({ id }) => this.#owners.has(id)),
      null,
    );
  }

  #acceptHeld({ speaker, update }: Held): PresenceEntry[] {
    try {
      return this.#accept(speaker, this.#read(speaker.connection, update), false);
    } catch (error) {
      speaker.refusePresence(error);
      return [];
    }
  }

  /** This connection is sent presence from now on, so that what it says may be a repeat. */
  meet(connection: Connection): void {
    this.#met.add(connection);
  }

  /** Everybody's state. */
  encode(): Uint8Array {
    this.#takeHeld();
    const { awareness } = this.#document;
    return encodeAwarenessUpdate(awareness, [...awareness.getStates().keys()]);
  }

  /** What a connection says of itself: a state for each of its ids. */
  statesOf(connection: Connection): unknown[] {
    this.#takeHeld();
    const states = this.#document.awareness.getStates();
    const ids = [...this.#owners.keys()].filter((id) => this.#owners.get(id)?.connection === connection);
    return ids.flatMap((id) => states.get(id) ?? []);
  }

  /** What another instance is told of all who are connected here. */
  encodeOwn(): Uint8Array {
    return this.encodeThose(this.#ownIds());
  }

  /** What another instance is told of these, some of whom may have left: an awareness update, and whose ids they are. */
  encodeThose(ids: readonly number[]): Uint8Array {
    const { awareness } = this.#document;
    const known = ids.filter((id) => awareness.meta.has(id));
    const users = known.map((id) => this.#owners.get(id)?.user ?? null);
    return encoding.encode((encoder) => {
      encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(awareness, known));
      encoding.writeVarString(encoder, JSON.stringify(users));
    });
  }

  /**
   * Takes what another instance says of some of its people.
   * @throws when it does not decode
   */
  receiveRelayed(presence: Uint8Array, instance: string): void {
    this.#relayed(readRelayed(presence), instance);
  }

  /**
   * Takes what another instance says of all its people.
   * @throws when it does not decode
   */
  replaceRelayed(presence: Uint8Array, instance: string): void {
    const entries = readRelayed(presence);
    const there = new Set(entries.map(({ id }) => id));
    this.#forget((id, elsewhere) => elsewhere.instance === instance && !there.has(id));
    this.#relayed(entries, instance);
  }

  /** An instance has ended: its people are gone until they come back. */
  forgetInstance(instance: string): void {
    this.#forget((_id, elsewhere) => elsewhere.instance === instance);
  }

  /** Those of whom nothing was said since then (milliseconds of `performance.now()`) are gone. */
  forgetUntold(since: number): void {
    this.#forget((_id, { toldAt }) => toldAt < since);
  }

  #forget(isGone: (id: number, elsewhere: Elsewhere) => boolean): void {
    const gone = [...this.#elsewhere].filter(([id, elsewhere]) => isGone(id, elsewhere));
    const ids = gone.map(([id]) => id);
    for (const id of ids) this.#elsewhere.delete(id);
    removeAwarenessStates(this.#document.awareness, ids, RELAYED);
  }

  #relayed(entries: readonly RelayedEntry[], instance: string): void {
    const accepted = entries.filter((entry) => this.#isToldBy(instance, entry));
    if (accepted.length === 0) return;
    const toldAt = performance.now();
    for (const { id, state, user } of accepted) {
      if (state === LEFT) this.#elsewhere.delete(id);
      else this.#elsewhere.set(id, { instance, user, toldAt });
    }
    applyAwarenessUpdate(this.#document.awareness, writePresence(accepted), RELAYED);
    this.#clocks.forgetOld();
  }

  #isToldBy(instance: string, entry: RelayedEntry): boolean {
    const { id, state, user } = entry;
    const owner = this.#owners.get(id);
    if (owner === undefined) {
      const elsewhere = this.#elsewhere.get(id);
      if (elsewhere === undefined || elsewhere.instance === instance) return true;
      return state !== LEFT && elsewhere.user === user && this.#clocks.isNews(entry);
    }
    if (state === LEFT) {
      // Who has left another instance, and is here: others may take that for the end.
      this.#sayAgain([entry]);
      return false;
    }
    // A tab that has repeated another one, whose own socket is there.
    const isBorrowed = this.#homes.get(owner.connection) !== id;
    if (!isBorrowed && (owner.user !== user || !this.#clocks.isNews(entry))) return false;
    this.#owners.delete(id);
    this.#document.connections.get(owner.connection)?.clients.delete(id);
    return true;
  }

  #ownIds(): number[] {
    const states = this.#document.awareness.getStates();
    return [...this.#owners.keys()].filter((id) => states.has(id));
  }

  /** Says that they are here of all who are: others may have let them go. */
  sayAllAgain(): void {
    this.#sayAgain(this.#ownIds().map((id) => ({ id, clock: 0 })));
  }

  /** With clocks above those with which others may have let them go. */
  #sayAgain(left: readonly Pick<PresenceEntry, 'id' | 'clock'>[]): void {
    const { awareness } = this.#document;
    const entries = left.flatMap(({ id, clock }) => {
      const state = awareness.getStates().get(id);
      if (state === undefined) return [];
      const known = awareness.meta.get(id)?.clock ?? 0;
      return [{ id, clock: Math.max(clock, known) + 1, state: JSON.stringify(state) }];
    });
    if (entries.length > 0) applyAwarenessUpdate(awareness, writePresence(entries), null);
  }

  /** Gives up the ids of a connection that has closed; Hocuspocus has removed their states. */
  release(connection: Connection): void {
    this.#held.delete(connection);
    for (const [id, owner] of this.#owners) if (owner.connection === connection) this.#owners.delete(id);
  }

  #claim(speaker: Speaker, entry: PresenceEntry, isIntroduction: boolean): void {
    const { connection } = speaker;
    const owner = this.#owners.get(entry.id);
    if (owner?.connection === connection || entry.state === LEFT) return;
    if (isIntroduction ? this.#isTaken(speaker, entry.id) : !this.#isFree(speaker, entry)) return;
    if (!this.#document.hasConnection(connection) || this.#owned(connection) >= this.#limits.ids) return;
    if (isIntroduction) this.#homes.set(connection, entry.id);
    if (owner !== undefined) this.#document.connections.get(owner.connection)?.clients.delete(entry.id);
    this.#document.connections.get(connection)?.clients.add(entry.id);
    this.#owners.set(entry.id, { connection, user: speaker.user, said: -1 });
    this.#elsewhere.delete(entry.id);
  }

  /** Also false for what an owner has said before: a HocuspocusProvider may send its first state again later. */
  #isSaidByOwner(connection: Connection, { id, clock, state }: PresenceEntry): boolean {
    const owner = this.#owners.get(id);
    if (owner?.connection !== connection) return false;
    // A client leaves with the clock of its last state.
    if (clock < owner.said || (clock === owner.said && state !== LEFT)) return false;
    owner.said = clock;
    return true;
  }

  /** Whether another user has introduced themselves by this id. */
  #isTaken({ user }: Speaker, id: number): boolean {
    const elsewhere = this.#elsewhere.get(id);
    if (elsewhere !== undefined) return elsewhere.user !== user;
    const owner = this.#owners.get(id);
    return owner !== undefined && owner.user !== user && this.#homes.get(owner.connection) === id;
  }

  /** Whether an id can be had without an introduction; also by who was introduced before, and by it lost the id. */
  #isFree({ connection }: Speaker, entry: PresenceEntry): boolean {
    const isTaken = this.#owners.has(entry.id) || this.#elsewhere.has(entry.id);
    const isMineToTake = !isTaken || this.#homes.get(connection) === entry.id;
    return isMineToTake && this.#clocks.isNews(entry);
  }

  #owned(connection: Connection): number {
    let count = 0;
    for (const owner of this.#owners.values()) if (owner.connection === connection) count += 1;
    return count;
  }
}

/** What another instance says of somebody, and whose id it is. */
interface RelayedEntry extends PresenceEntry {
  readonly user: string | null;
}

function readRelayed(presence: Uint8Array): RelayedEntry[] {
  const decoder = decoding.createDecoder(presence);
  const entries = readPresence(decoding.readVarUint8Array(decoder), () => true);
  const users = JSON.parse(decoding.readVarString(decoder)) as (string | null)[];
  return entries.map(({ id, clock, state }, index) => ({ id, clock, state, user: users[index] ?? null }));
}
