import * as Y from 'yjs';
import type { SocketTap } from '../helpers/client-socket.ts';
import type { Protocol } from '../helpers/editor.ts';
import { decodeFrame } from '../helpers/frames.ts';
import { connectPerson } from '../helpers/person.ts';
import { pickOf } from '../helpers/random.ts';
import { Changes } from './changes.ts';
import { formatSome, makeNoise, putElement } from './edits.ts';
import { type Ledger, ROOTS } from './ledger.ts';

/** Edits that are not in the ledger, and that may be undone and deleted. */
const NOISE = 'noise';

/** Now and then somebody's line is closed for some edits, which come back with it as one. */
const OFFLINE_CHANCE = 0.01;
const OFFLINE_EDITS = 30;

/** Somebody with a real provider who types, whatever happens to the server, and writes into the ledger what was acked. */
export interface Typist {
  readonly protocol: Protocol;
  readonly document: string;
  readonly doc: Y.Doc;
  /** Frames with edits that are on their way. */
  readonly onTheirWay: number;
  /** Whether everything that was typed is acked. */
  readonly isSettled: boolean;
  /** Types one element, in one of many ways, makes some noise, and is offline at times. */
  type(): void;
  /** Closes the line until the next edit. */
  drop(): void;
  /** Holds when it has told the server what it has, and has been told the same. */
  synced(deadlineMs?: number): Promise<void>;
  /** Comes back online, and holds when everything that was typed is acked. */
  settled(deadlineMs?: number): Promise<void>;
  /** How it stands, in words. */
  standing(): string;
  leave(): void;
  /** Leaves, and will never bring what is not acked. */
  abandon(): void;
}

export function startTypist(options: {
  protocol: Protocol;
  url: string;
  document: string;
  name: string;
  ledger: Ledger;
  random: () => number;
  isAlwaysOnline?: boolean | undefined;
}): Typist {
  const { protocol, url, document, name, ledger, random, isAlwaysOnline = false } = options;
  const doc = new Y.Doc();
  const acks = new AckReader({ protocol, document, name, doc, ledger });
  const client = connectPerson(protocol, url, document, { doc, tap: acks });
  const undo = new Y.UndoManager(doc.getText(ROOTS.text), { trackedOrigins: new Set([NOISE]) });
  const pick = pickOf(random);
  let count = 0;
  let offlineEdits = 0;
  const goOffline = (edits: number) => {
    offlineEdits = edits;
    client.goOffline();
    acks.disconnected();
  };
  const comeBack = () => {
    offlineEdits = 0;
    client.goOnline();
  };
  return {
    protocol,
    document,
    doc,
    get onTheirWay() {
      return acks.onTheirWay;
    },
    get isSettled() {
      return acks.isSettled;
    },
    type() {
      if (offlineEdits > 0 && (offlineEdits -= 1) === 0) comeBack();
      else if (offlineEdits === 0 && !isAlwaysOnline && random() < OFFLINE_CHANCE)
        goOffline(1 + pick(OFFLINE_EDITS));
      if (random() < 0.25) doc.transact(() => (pick(3) === 0 ? formatSome : makeNoise)(doc, pick), NOISE);
      else if (random() < 0.05) undo.undo();
      const element = `${name}.${(count += 1)}`;
      ledger.typed(document, element);
      acks.typing(element, () => doc.transact(() => putElement(doc, element, pick)));
    },
    drop() {
      if (offlineEdits === 0) goOffline(1);
    },
    settled(deadlineMs) {
      if (offlineEdits > 0) comeBack();
      return client.sees(() => acks.isSettled, deadlineMs);
    },
    synced: (deadlineMs) => client.synced(deadlineMs),
    standing: () => `${client.standing()}, ${acks.standing()}`,
    leave: () => client.destroy(),
    abandon() {
      client.destroy();
      acks.abandon();
    },
  };
}

/** Clocks from the first to the one after the last. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** What one of its frames holds. */
interface SentFrame extends Span {
  readonly update: Uint8Array;
  readonly changes: Changes;
}

interface Typed {
  readonly element: string;
  readonly from: number;
  to: number;
}

/**
 * Reads off the wire which elements are acknowledged. A frame covers clocks of its typist: an update those that it holds, a
 * step 2 all so far, since the server had said what it has of them.
 */
class AckReader implements SocketTap {
  readonly #dialect: Protocol;
  readonly #document: string;
  readonly #name: string;
  readonly #doc: Y.Doc;
  readonly #ledger: Ledger;
  /** What was typed and is not acked yet, by the clock where it begins. */
  #typed: Typed[] = [];
  /** Of this connection: its frames with edits, each waiting for its ack. */
  #frames: SentFrame[] = [];
  #socket: object | undefined;

  constructor(of: { protocol: Protocol; document: string; name: string; doc: Y.Doc; ledger: Ledger }) {
    this.#dialect = of.protocol;
    this.#document = of.document;
    this.#name = of.name;
    this.#doc = of.doc;
    this.#ledger = of.ledger;
  }

  /** Types an element; its frame leaves meanwhile. */
  typing(element: string, type: () => void): void {
    const typed: Typed = { element, from: this.#clock, to: Infinity };
    this.#typed.push(typed);
    type();
    typed.to = this.#clock;
  }

  get isSettled(): boolean {
    return this.#typed.length === 0;
  }

  get onTheirWay(): number {
    return this.#frames.length;
  }

  standing(): string {
    const ranges = this.#typed.slice(0, 3).map(({ element, from, to }) => `${element} [${from}, ${to})`);
    return `waiting for acks of ${this.#typed.length}: ${ranges.join(', ')}; of ${this.#frames.length} frames`;
  }

  /** The connection has been given up: what it still delivers counts no more. */
  disconnected(): void {
    this.#socket = undefined;
    this.#frames = [];
  }

  /** What is not acked never will be. */
  abandon(): void {
    this.disconnected();
    for (const { element } of this.#typed) this.#ledger.givenUp(element);
  }

  readonly onConnect = (socket: object): void => {
    this.#socket = socket;
    this.#frames = [];
  };

  readonly onSend = (bytes: Uint8Array, socket: object): void => {
    if (socket !== this.#socket) return;
    const frame = decodeFrame(this.#dialect, bytes);
    if (frame.type !== 'step2' && frame.type !== 'update') return;
    const { clientID } = this.#doc;
    const update = frame.update.slice();
    const changes = new Changes().add(update);
    if (frame.type === 'step2') {
      const to = this.#clock;
      this.#sent({ from: 0, to, update, changes: changes.addUntil(clientID, to) });
    } else {
      const { from, to } = Y.parseUpdateMeta(update);
      this.#sent({ from: from.get(clientID) ?? 0, to: to.get(clientID) ?? 0, update, changes });
    }
  };

  #sent(frame: SentFrame): void {
    this.#frames.push(frame);
    for (const { element, from } of this.#typed)
      if (from >= frame.from && from < frame.to) this.#ledger.sent(element);
  }

  readonly onReceive = (bytes: Uint8Array, socket: object): void => {
    if (socket !== this.#socket) return;
    const frame = decodeFrame(this.#dialect, bytes);
    if (frame.type !== 'sync-status') return;
    const sent = this.#frames.shift();
    if (sent === undefined) throw new Error('an ack that no frame was waiting for');
    if (!frame.saved) throw new Error('an edit was refused');
    this.#ledger.ackedFrame(this.#document, { by: this.#name, ...sent });
    const isCovered = ({ from, to }: Typed) => from >= sent.from && to <= sent.to;
    const acked = this.#typed.filter(isCovered);
    this.#typed = this.#typed.filter((typed) => !isCovered(typed));
    for (const { element } of acked) this.#ledger.acked(element);
  };

  get #clock(): number {
    return Y.getState(this.#doc.store, this.#doc.clientID);
  }
}
