import { once } from 'node:events';
import { WebSocket } from 'ws';
import * as Y from 'yjs';
import { type Dialect, type Frame, decodeFrame, encodeFrame } from '../helpers/frames.ts';

/** Where somebody comes from, and goes to. */
export interface Place {
  url: string;
  dialect: Dialect;
  document: string;
  /** The address that the connection comes from. */
  from: string;
}

/** The number of presence in both protocols. */
const PRESENCE = 1;

/** A part of what a client has typed: its edits from one to before another. */
interface Edits {
  client: number;
  from: number;
  to: number;
}

/**
 * Somebody in a document who keeps none: hundreds of them take little of a machine on which servers are measured. How much of
 * everybody's edits has come their clocks tell.
 */
export class Member {
  readonly #place: Place;
  /** Where a frame's type stands: behind the address of the document. */
  readonly #typeAt: number;
  readonly #entered = Promise.withResolvers<void>();
  readonly #seen = new Map<number, number>();
  #socket: WebSocket | undefined;
  #content: ReadonlyMap<number, number> = new Map();
  #isTold = false;
  #isIn = false;
  #isLeaving = false;
  /** How many have come. */
  frames = 0;
  /** Whether the server has closed the connection. */
  isCut = false;
  /** Called with what comes, also again. */
  onUpdate: (update: Uint8Array) => void = () => {};
  /** Called for what has not come before. */
  onEdits: (edits: Edits) => void = () => {};
  onAck: () => void = () => {};
  /** Without it presence is counted and not read. */
  onPresence: ((update: Uint8Array) => void) | undefined;

  constructor(place: Place) {
    this.#place = place;
    this.#typeAt = encodeFrame(place.dialect, { type: 'query-awareness' }, place.document).length - 1;
  }

  /**
   * Holds when it has been told what the document holds.
   * @param content - what that is at least; some servers say first that it is empty
   */
  async enter(content: ReadonlyMap<number, number>): Promise<void> {
    const { url, dialect, document, from } = this.#place;
    this.#content = content;
    const path = dialect === 'y-websocket' ? `/${encodeURIComponent(document)}` : '';
    const socket = new WebSocket(url.replace(/^http/, 'ws') + path, {
      localAddress: from,
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#receive(data));
    socket.on('close', (code, reason) => {
      this.isCut = !this.#isLeaving;
      this.#entered.reject(new Error(`${url} has closed a connection: ${code} ${reason.toString()}`));
    });
    // Rejects when it fails.
    await once(socket, 'open');
    // `close` follows.
    socket.on('error', () => {});
    if (dialect === 'hocuspocus') this.send({ type: 'token', token: '' });
    this.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
    await this.#entered.promise;
  }

  send(frame: Frame): void {
    const { dialect, document } = this.#place;
    this.#socket?.send(encodeFrame(dialect, frame, document));
  }

  leave(): void {
    this.#isLeaving = true;
    this.#socket?.close();
  }

  #receive(data: Buffer): void {
    this.frames += 1;
    if (data[this.#typeAt] === PRESENCE && this.onPresence === undefined) return;
    const frame = decodeFrame(this.#place.dialect, data);
    if (frame.type === 'awareness') this.onPresence?.(frame.update);
    if (frame.type === 'sync-status' && frame.saved) this.onAck();
    if (frame.type === 'update' || frame.type === 'step2') {
      this.onUpdate(frame.update);
      this.#take(frame.update);
    }
    this.#isTold ||= frame.type === 'step2';
    if (this.#isIn || !this.#isTold || !this.#hasContent) return;
    this.#isIn = true;
    this.#entered.resolve();
  }

  get #hasContent(): boolean {
    for (const [client, clock] of this.#content) if ((this.#seen.get(client) ?? 0) < clock) return false;
    return true;
  }

  #take(update: Uint8Array): void {
    for (const { client, from, to } of readEdits(update)) {
      const seen = this.#seen.get(client) ?? 0;
      // What comes twice counts once, and what follows on something that has not come does not: nobody could show it.
      if (from > seen || to <= seen) continue;
      this.#seen.set(client, to);
      this.onEdits({ client, from: seen, to });
    }
  }
}

/** Everybody in a document is sent the same bytes, so that they are read once. */
let last: { update: Uint8Array; edits: Edits[] } = { update: new Uint8Array(), edits: [] };

function readEdits(update: Uint8Array): Edits[] {
  if (Buffer.compare(last.update, update) !== 0) {
    const structs = Y.decodeUpdate(update).structs.filter((struct) => !(struct instanceof Y.Skip));
    last = {
      update,
      edits: structs.map(({ id, length }) => ({ client: id.client, from: id.clock, to: id.clock + length })),
    };
  }
  return last.edits;
}
