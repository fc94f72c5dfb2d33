import type { Decision } from '../auth/access.ts';
import type { ConnectionInfo } from '../cluster/cluster.ts';
import { IndelibleError, closeCodeOf, messageOf, toIndelibleError, type ErrorCode } from '../errors.ts';
import type { Limits, Meter } from '../limits.ts';
import {
  MessageType,
  SyncStep,
  addressLength,
  documentOf,
  encodeAwareness,
  encodeDenied,
  encodeToken,
  isUpdate,
  readDenied,
  readFrame,
  type Frame,
} from '../protocol/frames.ts';
import type { Wire } from '../protocol/wire.ts';
import {
  DocumentConnection,
  type ConnectionHub,
  type ConnectionSession,
  type SendOptions,
} from './document-connection.ts';
import type { ClientConnection, Connection } from './host.ts';
import type { OpenDocument } from './open-document.ts';
import type { UpdateLimits } from './update-check.ts';
import { WaitingFrames, type WaitingRoom } from './waiting-frames.ts';

/** What a session needs of its socket, whatever its transport. */
export interface HubSocket {
  readonly isOpen: boolean;
  /** Since when the log has room for what it sends, by `performance.now()`; `Infinity` while it has none. */
  readonly heardSince: number;
  send(frame: Uint8Array, options?: SendOptions): void;
  /** Reads no more for so many milliseconds. */
  rest(ms: number): void;
  close(code: number, reason: string): void;
}

/** Bounds on one session; see the settings of the same names. */
export interface SessionLimits {
  readonly authMs: number;
  readonly documents: number;
  readonly waitingBytes: number;
  readonly update: UpdateLimits;
}

/** What a session needs of the hub. */
export interface SessionHub extends ConnectionHub {
  readonly limits: SessionLimits;
  readonly counts: Limits;
  readonly waitingRoom: WaitingRoom;
  register(session: Session): ClientConnection;
}

/** Refusals that end by themselves, unlike a document whose storage is damaged. */
const SOON_OVER: ReadonlySet<string> = new Set<ErrorCode>([
  'auth_unavailable',
  'database_unavailable',
  'disconnected',
]);
/** A provider that comes back has the same edits, and brings them again. */
const REPEATED: ReadonlySet<ErrorCode> = new Set(['document_too_large', 'too_much_pending']);
/** An awareness update of nobody: a count of zero. */
const NO_PRESENCE = new Uint8Array([0]);
/** `readyState` of a WebSocket. */
const OPEN = 1;
const CLOSED = 3;

/**
 * One socket in the hub: takes its frames apart and hands each to the connection of its document. Frames for a document that
 * is still opening wait, up to a limit. The first token for a document goes to Hocuspocus, which asks us about it and
 * loads the document.
 */
export class Session implements ConnectionSession {
  readonly wire: Wire;
  readonly #hub: SessionHub;
  readonly #socket: HubSocket;
  readonly #client: ClientConnection;
  readonly #meter: Meter;
  readonly #connections = new Map<string, DocumentConnection>();
  /** Addresses whose token is being judged, or whose document is being loaded. */
  readonly #opening = new Set<string>();
  /** Addresses that were refused once and are opening again. */
  readonly #returning = new Set<string>();
  /** Addresses that were refused: a provider goes on sending its presence there. The oldest are forgotten. */
  readonly #refusedAddresses = new Set<string>();
  readonly #waiting: WaitingFrames;
  #granted: Decision | undefined;
  #authTimer: NodeJS.Timeout | undefined;
  #hasOpened = false;
  /** Whether presence is sent; see {@link Session.#greet}. */
  #isGreeted: boolean;
  #isClosed = false;

  constructor(hub: SessionHub, socket: HubSocket, wire: Wire) {
    this.#hub = hub;
    this.#socket = socket;
    this.wire = wire;
    this.#meter = hub.counts.meter();
    this.#waiting = new WaitingFrames(hub.limits.waitingBytes, hub.waitingRoom);
    this.#isGreeted = wire.protocol === 'hocuspocus';
    this.#client = hub.register(this);
    if (wire.protocol === 'hocuspocus') this.#expectToken();
  }

  /** Opens the document of a y-websocket socket, whose access is decided already. */
  open(document: string, grant: Decision): void {
    this.#granted = grant;
    this.#present(document, '');
  }

  /** Decides what this session may do with a document. */
  async authorize(document: string, token: string): Promise<Decision> {
    return this.#granted ?? this.#hub.access.decide({ document, token: token || null });
  }

  /** Takes a frame of the client. Never throws. */
  receive(bytes: Uint8Array): void {
    // A socket goes on delivering what it had received while it closes.
    if (this.#isClosed) return;
    const rest = this.#meter.charge(bytes.byteLength);
    if (rest > 0) {
      this.#hub.metrics.throttled.inc();
      this.#socket.rest(rest);
    }
    let frame: Frame;
    try {
      frame = this.wire.read(bytes);
    } catch {
      this.endByFrame('bad_frame');
      return;
    }
    this.#route(frame);
  }

  #route(frame: Frame): void {
    switch (frame.type) {
      case MessageType.Sync:
      case MessageType.SyncReply:
      case MessageType.Awareness:
      case MessageType.QueryAwareness:
        this.#handleOrWait(frame);
        break;
      case MessageType.Auth:
        if (this.#isKnown(frame)) this.#handleOrWait(frame);
        else if (frame.token !== undefined) this.#present(frame.address, frame.token);
        break;
      case MessageType.Close:
        // The document of a y-websocket socket is closed with it.
        if (this.wire.protocol === 'hocuspocus' && this.#isKnown(frame)) this.#handleOrWait(frame);
        break;
      default:
      // Nothing that this server answers; a client may have use for it elsewhere.
    }
  }

  #isKnown(frame: Frame): boolean {
    return this.#opening.has(frame.address) || this.#find(frame) !== undefined;
  }

  #find({ address }: Frame): DocumentConnection | undefined {
    return this.#connections.get(address) ?? this.#connections.get(documentOf(address));
  }

  /** The first token for a document. */
  #present(address: string, token: string): void {
    if (this.#refusedAddresses.delete(address)) this.#returning.add(address);
    if (this.#connections.size + this.#opening.size >= this.#hub.limits.documents) {
      this.#deny(address, 'too_many_documents');
      return;
    }
    this.#opening.add(address);
    this.#client.handleMessage(encodeToken(address, token));
  }

  #handleOrWait(frame: Frame): void {
    const connection = this.#find(frame);
    if (connection !== undefined) {
      this.#handle(connection, frame);
    } else if (this.#refusedAddresses.has(frame.address)) {
      // It knows.
      return;
    } else if (!this.#waiting.add(frame)) {
      this.endByFrame('too_many_waiting');
    } else if (!this.#opening.has(frame.address)) {
      // A provider may send an edit before its token, which it may have to fetch.
      this.#expectToken();
    }
  }

  #handle(connection: DocumentConnection, frame: Frame): void {
    connection.handle(frame);
    if (!this.#isGreeted && tellsOfItself(frame)) {
      this.#greet(connection, frame.type === MessageType.QueryAwareness);
    }
  }

  /**
   * A y-websocket client sends back every state that it is sent. So it is sent none before it has answered our step 1 or
   * has said who it is, which it does first: then what it says first is about itself, and no repeat.
   */
  #greet(connection: DocumentConnection, isAnswered: boolean): void {
    this.#isGreeted = true;
    connection.open.presence.meet(connection.connection);
    if (!isAnswered) connection.tellPresence();
  }

  #expectToken(): void {
    const { authMs } = this.#hub.limits;
    this.#authTimer ??= setTimeout(() => {
      this.#authTimer = undefined;
      // A token that came while no socket was read is not late.
      if (performance.now() < this.#socket.heardSince + authMs) this.#expectToken();
      else this.#endWait();
    }, authMs);
  }

  /** No token has come for what is waiting, or none that was good. */
  #endWait(): void {
    if (!this.#hasOpened && this.#opening.size === 0) {
      this.end('auth_late');
      return;
    }
    if (!this.#hasOpened) this.#expectToken();
    for (const address of this.#waiting.addresses()) {
      if (!this.#opening.has(address)) this.#deny(address, 'auth_late');
    }
  }

  /** Hocuspocus has connected this session to a document. */
  attach(connection: Connection, open: OpenDocument, grant: Decision): void {
    const joined = new DocumentConnection(this.#hub, this, { connection, open, grant });
    const { address } = joined;
    this.#opening.delete(address);
    connection.onClose(() => this.#detach(address, joined));
    if (open.isSpoilt) this.end('document_reset');
    // Hocuspocus closes it when the socket does.
    if (this.#isClosed || !open.document.hasConnection(connection)) {
      joined.leave();
      return;
    }
    this.#connections.set(address, joined);
    if (!this.#join(joined)) return;
    this.#hasOpened = true;
    // What its client typed meanwhile was not taken, and it asks only when its socket opens.
    if (this.#returning.delete(address)) joined.resync();
    for (const frame of this.#waiting.take(address)) if (!this.#isClosed) this.#route(frame);
  }

  /** Counts the connection, and looks once more at what may have changed while the document was loaded. */
  #join(joined: DocumentConnection): boolean {
    const { open, connection, grant, user } = joined;
    try {
      connection.onClose(this.#hub.counts.join(open.name));
      if (this.#hub.access.isRevoked(open.name, grant)) throw new IndelibleError('revoked');
    } catch (error) {
      this.takeAway(joined, toIndelibleError(error).code);
      return false;
    }
    if (user !== null) this.#meter.countFor(user);
    return true;
  }

  #detach(address: string, left: DocumentConnection): void {
    left.leave();
    if (this.#connections.get(address) === left) this.#connections.delete(address);
    // Its only document: on an open socket it would wait for nothing.
    if (this.wire.protocol === 'y-websocket' && !this.#isClosed) this.end('document_reset');
  }

  /** Its connections to a document, of which there is one, unless its client has opened it twice. */
  connectionsTo(document: string): ConnectionInfo[] {
    const { protocol } = this.wire;
    return [...this.#connections.values()]
      .filter(({ open }) => open.name === document)
      .map(({ open, connection, grant }) => ({
        user: grant.user,
        access: grant.access,
        protocol,
        presence: open.presence.statesOf(connection),
      }));
  }

  /** Ends access to a document if it was taken back. */
  endRevoked(document: string): void {
    for (const connection of this.#connections.values()) {
      const isRevoked = this.#hub.access.isRevoked(document, connection.grant);
      if (connection.open.name === document && isRevoked) this.takeAway(connection, 'revoked');
    }
  }

  /** Ends the connection to a document, if it is this user's; everybody's when none is given. */
  disconnect(document: string, user: string | undefined, code: ErrorCode = 'disconnected'): void {
    for (const connection of this.#connections.values()) {
      const isMeant = connection.open.name === document && (user === undefined || user === connection.user);
      if (isMeant) this.takeAway(connection, code);
    }
  }

  /**
   * Takes a document from the client, saying why. Its socket closes with its last document, unless the client would only come
   * back with the same; and at once when it should come back, since a provider does not ask again for a document that it was
   * refused.
   */
  takeAway({ address, connection }: DocumentConnection, code: ErrorCode): void {
    const others = [...this.#connections.keys(), ...this.#opening].filter((other) => other !== address);
    const isOver = (others.length === 0 && !REPEATED.has(code)) || SOON_OVER.has(code);
    if (this.wire.protocol === 'y-websocket' || isOver) {
      this.end(code);
      return;
    }
    this.#deny(address, code);
    connection.close({ code: closeCodeOf(code), reason: code });
  }

  #deny(address: string, code: ErrorCode): void {
    this.#hub.metrics.refused.inc({ code });
    this.#forget(address);
    this.write(encodeDenied(address, code));
  }

  /** The client was told that it may not have a document. */
  #forget(address: string): void {
    this.#waiting.take(address);
    this.#refusedAddresses.add(address);
    const [oldest] = this.#refusedAddresses;
    if (this.#refusedAddresses.size > this.#hub.limits.documents && oldest !== undefined) {
      this.#refusedAddresses.delete(oldest);
    }
  }

  /** `readyState` for Hocuspocus. */
  get readyState(): number {
    return this.#socket.isOpen && !this.#isClosed ? OPEN : CLOSED;
  }

  /** Sends a frame of Hocuspocus to the client. */
  send(frame: Uint8Array): void {
    const start = addressLength(frame);
    const isPresence = frame[start] === MessageType.Awareness;
    if (!this.#isGreeted && isPresence) return;
    this.write(frame, { isPresence });
    if (isUpdate(frame, start)) {
      this.#hub.metrics.updatesOut.inc();
      return;
    }
    const reason = readDenied(frame, start);
    if (reason !== null) this.#refused(readFrame(frame).address, reason);
  }

  /** Sends a frame of ours. */
  write(frame: Uint8Array, options?: SendOptions): void {
    const message = this.wire.toClient(frame);
    if (message !== null) this.#socket.send(message, options);
  }

  /** Sends a frame that changes nothing. */
  keepAlive(): void {
    const [address] = this.#connections.keys();
    if (address !== undefined) this.send(encodeAwareness(address, NO_PRESENCE));
  }

  /** Sends everybody's presence again, some of which the client was spared. */
  catchUp(): void {
    if (this.#isGreeted) for (const connection of this.#connections.values()) connection.tellPresence();
  }

  /** Hocuspocus has refused a document. That ends a y-websocket socket; other sockets may have more documents. */
  #refused(address: string, reason: string): void {
    this.#opening.delete(address);
    this.#returning.delete(address);
    const code = closeCodeOf(reason);
    // A provider does not ask again for a document that it was refused, but it does when its socket comes back. So the
    // socket ends when that may help, also one with more documents where it will soon: they all come back.
    const mayHelp = code < 4400 || code >= 4500;
    const mayHelpSoon = SOON_OVER.has(reason);
    if (this.wire.protocol === 'y-websocket' || mayHelpSoon || (mayHelp && this.#connections.size === 0)) {
      this.close(code, reason);
    } else {
      this.#forget(address);
    }
  }

  /** Ends the session because of a frame; the edits that the same read has brought before it count. */
  endByFrame(code: ErrorCode): void {
    for (const connection of this.#connections.values()) connection.applyEdits();
    this.end(code);
  }

  /** Ends the session because of an error of the table. */
  end(code: ErrorCode): void {
    this.#hub.metrics.refused.inc({ code });
    this.close(closeCodeOf(code), code);
  }

  /** Closes the socket, and lets go of its documents without waiting for the client's answer. */
  close(code = 1000, reason = ''): void {
    if (this.#isClosed) return;
    this.#socket.close(code, reason);
    this.closed(code, reason);
  }

  /** The socket is closed. */
  closed(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#authTimer);
    this.#meter.release();
    this.#waiting.clear();
    this.#opening.clear();
    try {
      this.#client.handleClose({ code, reason });
    } catch (error) {
      this.#hub.log.error({ err: messageOf(error) }, 'closing a session failed');
    }
  }
}

/** Whether a client has answered our state vector, or said who it is. */
function tellsOfItself({ type, step }: Frame): boolean {
  return type !== MessageType.Auth && step !== SyncStep.StateVector;
}
