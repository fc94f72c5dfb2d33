import * as Y from 'yjs';
import type { EncodePeople } from './cluster.ts';

/** People of whom something is to be told. */
export interface People {
  readonly clients: Iterable<number>;
  readonly encode: EncodePeople;
}

/** What is to be told of one document. */
export interface Outgoing {
  /** `null` when nobody has edited it. */
  readonly update: Uint8Array | null;
  /** Of the update in the log of this instance. */
  readonly sequence: number;
  /** What goes with the update; mostly blank. */
  readonly attribution: string;
  /** `null` when nobody's presence has changed. */
  readonly people: People | null;
}

interface Collected {
  readonly updates: Uint8Array[];
  sequence: number;
  readonly clients: Set<number>;
  encode: EncodePeople;
}

/** Collects what is to be told until the turn ends, so that a burst of edits is one message. */
export class Outbox {
  readonly #send: (document: string, outgoing: Outgoing) => void;
  readonly #documents = new Map<string, Collected>();
  #isScheduled = false;

  /** @param send - must not throw */
  constructor(send: (document: string, outgoing: Outgoing) => void) {
    this.#send = send;
  }

  addUpdate(document: string, update: Uint8Array, sequence: number): void {
    const collected = this.#collected(document);
    collected.updates.push(update);
    collected.sequence = sequence;
  }

  /** Sends an update by itself, after those before it. */
  sendAlone(document: string, update: Uint8Array, sequence: number, attribution: string): void {
    this.flush(document);
    this.#send(document, { update, sequence, attribution, people: null });
  }

  addPeople(document: string, { clients, encode }: People): void {
    const collected = this.#collected(document);
    for (const client of clients) collected.clients.add(client);
    collected.encode = encode;
  }

  /** Sends now what there is of a document. */
  flush(document: string): void {
    const collected = this.#documents.get(document);
    if (collected === undefined) return;
    this.#documents.delete(document);
    const { updates, sequence, clients, encode } = collected;
    const people = clients.size > 0 ? { clients, encode } : null;
    const [last = null, ...others] = merge(updates).toReversed();
    for (const update of others.toReversed())
      this.#send(document, { update, sequence, attribution: '', people: null });
    this.#send(document, { update: last, sequence, attribution: '', people });
  }

  #collected(document: string): Collected {
    const before = this.#documents.get(document);
    if (before !== undefined) return before;
    const collected: Collected = { updates: [], sequence: 0, clients: new Set(), encode: () => null };
    this.#documents.set(document, collected);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        for (const name of this.#documents.keys()) this.flush(name);
      });
    }
    return collected;
  }
}

/** As one, where that is possible. */
function merge(updates: Uint8Array[]): Uint8Array[] {
  if (updates.length < 2) return updates;
  try {
    return [Y.mergeUpdates(updates)];
  } catch {
    return updates;
  }
}
