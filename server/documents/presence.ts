import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import { applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness';
import type { Connection, Document } from './host.ts';

/** Clocks of people who left are kept, so that late repeats of their states are recognised; up to this many. */
const REMEMBERED_CLOCKS = 1_000;

/** One client's state in an awareness update. */
interface Entry {
  readonly id: number;
  readonly clock: number;
  /** JSON; `null` when the client left. */
  readonly state: string;
}

/**
 * Presence of one document: decides whose frames may change which state, then applies them to the document's
 * awareness, whose changes Hocuspocus broadcasts.
 *
 * An id belongs to the connection whose first awareness frame carries it alone, or that is the first to bring it
 * alone. Anything else that a frame carries is a repeat of somebody else's state (y-websocket sends every state back
 * that it receives, and tabs of one browser repeat each other's) and is dropped: applied, it would be N² work, and
 * would bring ghosts back.
 */
export class Presence {
  readonly #document: Document;
  readonly #limit: number;
  readonly #owners = new Map<number, Connection>();
  readonly #introduced = new WeakSet<Connection>();

  /** @param limit - ids that one connection may own */
  constructor(document: Document, limit: number) {
    this.#document = document;
    this.#limit = limit;
  }

  /**
   * Takes an awareness update of a connection.
   * @throws when it does not decode; nothing is changed then
   */
  receive(connection: Connection, update: Uint8Array): void {
    const entries = readEntries(update);
    const isFirst = !this.#introduced.has(connection);
    this.#introduced.add(connection);
    if (entries.length === 1 && entries[0]) this.#claim(connection, entries[0].id, isFirst);
    const accepted = entries
      .filter(({ id }) => this.#owners.get(id) === connection)
      .flatMap((entry) => this.#stamp(entry));
    if (accepted.length === 0) return;
    applyAwarenessUpdate(this.#document.awareness, writeEntries(accepted), { source: 'connection', connection });
    this.#forgetOldClocks();
  }

  /** Everybody's state. */
  encode(): Uint8Array {
    const { awareness } = this.#document;
    return encodeAwarenessUpdate(awareness, [...awareness.getStates().keys()]);
  }

  /** Gives up the ids of a connection that has closed; Hocuspocus removes their states. */
  release(connection: Connection): void {
    for (const [id, owner] of this.#owners) if (owner === connection) this.#owners.delete(id);
  }

  /**
   * A client that reconnects before its old socket is gone takes its id over, so that the end of the old socket does
   * not remove somebody who is there.
   */
  #claim(connection: Connection, id: number, isFirst: boolean): void {
    const owner = this.#owners.get(id);
    if (owner === connection || (owner !== undefined && !isFirst)) return;
    const mine = this.#document.connections.get(connection)?.clients;
    if (mine === undefined || this.#owned(connection) >= this.#limit) return;
    if (owner !== undefined) this.#document.connections.get(owner)?.clients.delete(id);
    mine.add(id);
    this.#owners.set(id, connection);
  }

  #owned(connection: Connection): number {
    let count = 0;
    for (const owner of this.#owners.values()) if (owner === connection) count += 1;
    return count;
  }

  /**
   * A client that comes back repeats its last clock, and everybody who saw it leave ignores that clock. So a state
   * that is new to us is given a clock that is, too. (The client takes the higher clock from our broadcast and counts
   * on from there.)
   */
  #stamp(entry: Entry): Entry[] {
    const { awareness } = this.#document;
    const known = awareness.meta.get(entry.id)?.clock ?? 0;
    if (entry.clock > known) return [entry];
    if (entry.state === 'null') return [{ ...entry, clock: known }];
    const isRepeat = JSON.stringify(awareness.getStates().get(entry.id)) === entry.state;
    return isRepeat ? [] : [{ ...entry, clock: known + 1 }];
  }

  #forgetOldClocks(): void {
    const { awareness } = this.#document;
    let surplus = awareness.meta.size - awareness.getStates().size - REMEMBERED_CLOCKS;
    // A Map keeps the order of insertion, so the ids that were seen first go first.
    for (const id of surplus > 0 ? awareness.meta.keys() : []) {
      if (surplus === 0) break;
      if (awareness.getStates().has(id) || id === awareness.clientID) continue;
      awareness.meta.delete(id);
      surplus -= 1;
    }
  }
}

function readEntries(update: Uint8Array): Entry[] {
  const decoder = decoding.createDecoder(update);
  const entries: Entry[] = [];
  for (let left = decoding.readVarUint(decoder); left > 0; left -= 1) {
    const id = decoding.readVarUint(decoder);
    const clock = decoding.readVarUint(decoder);
    const state = decoding.readVarString(decoder);
    JSON.parse(state);
    entries.push({ id, clock, state });
  }
  return entries;
}

function writeEntries(entries: readonly Entry[]): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, entries.length);
    for (const { id, clock, state } of entries) {
      encoding.writeVarUint(encoder, id);
      encoding.writeVarUint(encoder, clock);
      encoding.writeVarString(encoder, state);
    }
  });
}

