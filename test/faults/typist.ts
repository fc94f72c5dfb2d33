import * as Y from 'yjs';
import { type SocketTap } from '../helpers/client-socket.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import type { Protocol } from '../helpers/editor.ts';
import { decodeFrame } from '../helpers/frames.ts';
import { type Ledger, ROOTS, inText } from './ledger.ts';

/** Edits that are not in the ledger, and that may be undone and deleted. */
const NOISE = 'noise';

/** Somebody with a real provider who types, whatever happens to the server, and writes into the ledger what was acked. */
export interface Typist {
  readonly document: string;
  readonly doc: Y.Doc;
  /** Types one element, in one of many ways, or makes some noise. */
  type(): void;
  /** Holds when everything that was typed is acked. */
  settled(deadlineMs?: number): Promise<void>;
  leave(): void;
}

export function startTypist(options: {
  protocol: Protocol;
  url: string;
  document: string;
  name: string;
  ledger: Ledger;
  random: () => number;
}): Typist {
  const { protocol, url, document, name, ledger, random } = options;
  const doc = new Y.Doc();
  const acks = new AckReader(protocol, doc, (element) => ledger.acked(element));
  const client =
    protocol === 'y-websocket'
      ? connectYWebsocket(url, encodeURIComponent(document), { doc, acks: true, tap: acks })
      : connectHocuspocus(url, document, { doc, tap: acks });
  const undo = new Y.UndoManager(doc.getText(ROOTS.text), { trackedOrigins: new Set([NOISE]) });
  const pick = (below: number) => Math.floor(random() * below);
  let count = 0;
  return {
    document,
    doc,
    type() {
      if (random() < 0.25) doc.transact(() => makeNoise(doc, pick), NOISE);
      else if (random() < 0.05) undo.undo();
      const element = `${name}.${(count += 1)}`;
      ledger.typed(document, element);
      const from = acks.clock;
      doc.transact(() => put(doc, element, pick));
      acks.typed(element, from);
    },
    settled: (deadlineMs) => client.sees(() => acks.isSettled, deadlineMs),
    leave: () => client.destroy(),
  };
}

function put(doc: Y.Doc, element: string, pick: (below: number) => number): void {
  switch (pick(5)) {
    case 0:
      doc.getMap(ROOTS.map).set(element, { by: element });
      break;
    case 1:
      doc.getArray(ROOTS.list).insert(pick(doc.getArray(ROOTS.list).length + 1), [inText(element)]);
      break;
    case 2: {
      const nested = new Y.Map<unknown>();
      doc.getArray(ROOTS.list).push([nested]);
      nested.set('is', new Y.Text(inText(element)));
      break;
    }
    case 3: {
      const paragraph = new Y.XmlElement('p');
      doc.getXmlFragment(ROOTS.xml).push([paragraph]);
      paragraph.push([new Y.XmlText(inText(element))]);
      break;
    }
    default:
      doc.getText(ROOTS.text).insert(between(doc, pick), inText(element));
  }
}

/** A place in the text that is in no element. */
function between(doc: Y.Doc, pick: (below: number) => number): number {
  const text = doc.getText(ROOTS.text).toString();
  const start = text.indexOf('‹', pick(text.length + 1));
  return start === -1 ? text.length : start;
}

/** Formats, inserts and deletes what is no element. */
function makeNoise(doc: Y.Doc, pick: (below: number) => number): void {
  const text = doc.getText(ROOTS.text);
  const at = text.toString().indexOf('~');
  if (at !== -1 && pick(2) === 0) text.delete(at, 1);
  else if (text.length > 0 && pick(2) === 0) text.format(pick(text.length), 1, { bold: pick(2) === 0 });
  else text.insert(between(doc, pick), '~~');
}

/** Clocks from the first to the one after the last. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * Reads off the wire which elements are acknowledged. A frame covers clocks of its typist: an update those that it holds, a
 * step 2 all so far, since the server had said what it has of them.
 */
class AckReader implements SocketTap {
  readonly #dialect: Protocol;
  readonly #doc: Y.Doc;
  readonly #onAck: (element: string) => void;
  /** What was typed and is not acked yet. */
  #typed: ({ element: string } & Span)[] = [];
  /** The frames on this connection, each waiting for its ack. */
  #frames: Span[] = [];

  constructor(dialect: Protocol, doc: Y.Doc, onAck: (element: string) => void) {
    this.#dialect = dialect;
    this.#doc = doc;
    this.#onAck = onAck;
  }

  /** An element that was typed since this clock. */
  typed(element: string, from: number): void {
    this.#typed.push({ element, from, to: this.clock });
  }

  get isSettled(): boolean {
    return this.#typed.length === 0;
  }

  readonly onConnect = (): void => {
    this.#frames = [];
  };

  readonly onSend = (bytes: Uint8Array): void => {
    const frame = decodeFrame(this.#dialect, bytes);
    if (frame.type === 'step2') this.#frames.push({ from: 0, to: this.clock });
    if (frame.type === 'update') {
      const { from, to } = Y.parseUpdateMeta(frame.update);
      const { clientID } = this.#doc;
      this.#frames.push({ from: from.get(clientID) ?? 0, to: to.get(clientID) ?? 0 });
    }
  };

  readonly onReceive = (bytes: Uint8Array): void => {
    const frame = decodeFrame(this.#dialect, bytes);
    if (frame.type !== 'sync-status') return;
    const span = this.#frames.shift();
    if (span === undefined) throw new Error('an ack that no frame was waiting for');
    if (!frame.saved) throw new Error('an edit was refused');
    const isCovered = ({ from, to }: Span) => from >= span.from && to <= span.to;
    const acked = this.#typed.filter(isCovered);
    this.#typed = this.#typed.filter((typed) => !isCovered(typed));
    for (const { element } of acked) this.#onAck(element);
  };

  get clock(): number {
    return Y.getState(this.#doc.store, this.#doc.clientID);
  }
}
