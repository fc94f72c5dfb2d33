import { LEFT, type PresenceEntry } from '../protocol/presence.ts';
import type { Document } from './host.ts';

/** Clocks of people who left are kept, so that late repeats of their states are recognised; up to this many. */
const REMEMBERED_CLOCKS = 1_000;
/** What a client can change before it knows of the clock that it was given: a second of moving the pointer. */
const REMEMBERED_STAMPS = 64;
const REMEMBERED_STAMP_CHARACTERS = 64 * 1024;

/** Whose state has changed. */
export interface Change {
  readonly added: readonly number[];
  readonly updated: readonly number[];
  readonly removed: readonly number[];
}

/** The clocks of the states of one document. */
export class Clocks {
  readonly #document: Document;
  readonly #flush: () => void;
  /** In the order in which they left. */
  readonly #departed = new Set<number>();
  readonly #stamps = new Map<number, PresenceEntry[]>();

  /** @param flush - tells everybody whose state has changed */
  constructor(document: Document, flush: () => void) {
    this.#document = document;
    this.#flush = flush;
    document.awareness.on('update', (change: Change) => this.#track(change));
  }

  /** Whether an entry is ahead of what everybody knows; a repeat never is. */
  isNews({ id, clock }: PresenceEntry): boolean {
    return clock > this.#known(id);
  }

  /**
   * An entry of its owner, with a clock that everybody takes; `null` for a repeat.
   *
   * A client that comes back repeats its last clock, or counts from 0 again, and everybody who saw it leave ignores
   * that. So it is given a clock, which it takes over from our broadcast. A y-websocket client then sends that state
   * back; by that time it may have sent others, so that what it sends back looks like a change. Taken for one, it
   * would be given a clock, and be sent back, for ever.
   *
   * @param isFirst - whether its owner says it to introduce itself. The others may have seen its clock where we have not,
   * before a restart of this server, so somebody unknown is given a clock in any case
   */
  stamp(entry: PresenceEntry, isFirst: boolean): PresenceEntry | null {
    const known = this.#known(entry.id);
    const isUnknown = !this.#document.awareness.meta.has(entry.id);
    if (isFirst && isUnknown && entry.state !== LEFT) return this.#give(entry, entry.clock + 1);
    if (entry.clock > known) {
      this.#stamps.delete(entry.id);
      return entry;
    }
    if (entry.state === LEFT) return { ...entry, clock: known };
    if (this.#isRepeat(entry, known)) return null;
    return this.#give(entry, known + 1);
  }

  #give(entry: PresenceEntry, clock: number): PresenceEntry {
    const stamped = { ...entry, clock };
    this.#remember(stamped);
    return stamped;
  }

  /** Forgets those who left first. */
  forgetOld(): void {
    if (this.#departed.size <= REMEMBERED_CLOCKS) return;
    // That they left may still have to be told, with their clocks.
    this.#flush();
    for (const id of this.#departed) {
      if (this.#departed.size <= REMEMBERED_CLOCKS) break;
      this.#departed.delete(id);
      this.#document.awareness.meta.delete(id);
    }
  }

  #known(id: number): number {
    return this.#document.awareness.meta.get(id)?.clock ?? 0;
  }

  #isRepeat({ id, clock, state }: PresenceEntry, known: number): boolean {
    const current = this.#document.awareness.getStates().get(id);
    if (clock === known && JSON.stringify(current) === state) return true;
    return this.#stamps.get(id)?.some((stamp) => stamp.clock === clock && stamp.state === state) ?? false;
  }

  #remember(stamped: PresenceEntry): void {
    const stamps = [...(this.#stamps.get(stamped.id) ?? []), stamped].slice(-REMEMBERED_STAMPS);
    const characters = () => stamps.reduce((sum, { state }) => sum + state.length, 0);
    while (stamps.length > 1 && characters() > REMEMBERED_STAMP_CHARACTERS) stamps.shift();
    this.#stamps.set(stamped.id, stamps);
  }

  #track({ added, updated, removed }: Change): void {
    for (const id of added) this.#departed.delete(id);
    for (const id of updated) this.#departed.delete(id);
    for (const id of removed) {
      this.#departed.delete(id);
      this.#departed.add(id);
      this.#stamps.delete(id);
    }
  }
}
