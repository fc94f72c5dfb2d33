import * as Y from 'yjs';
import { closeCodeOf, messageOf, type ErrorCode } from '../errors.ts';
import type { AccessRequest, Grant } from '../auth/grant.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import {
  MessageType,
  SyncStep,
  addressLength,
  documentOf,
  encodeAwareness,
  encodeSyncStatus,
  encodeToken,
  isUpdate,
  readDenied,
  type Frame,
} from '../protocol/frames.ts';
import type { Wire } from '../protocol/wire.ts';
import { Acks } from './acks.ts';
import type { ClientConnection, Connection } from './host.ts';
import type { OpenDocument } from './open-document.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';
import { WaitingFrames } from './waiting-frames.ts';

/** What a session needs of its socket, whatever its transport. */
export interface HubSocket {
  readonly isOpen: boolean;
  send(frame: Uint8Array): void;
  close(code: number, reason: string): void;
}

/** What a session needs of the hub. */
export interface SessionHub {
  readonly limits: { readonly waitingBytes: number; readonly update: UpdateLimits };
  readonly log: Log;
  readonly metrics: Metrics;
  register(session: Session): ClientConnection;
  authorize(request: AccessRequest): Promise<Grant>;
  append(open: OpenDocument, update: Uint8Array, author: string | null): void;
  settle(acks: Acks): void;
  forget(acks: Acks): void;
  rebuild(open: OpenDocument, error: unknown): void;
}

/** One document that a session is connected to. */
interface Attached {
  readonly open: OpenDocument;
  readonly connection: Connection;
  readonly acks: Acks;
  readonly user: string | null;
}

/** Refusals that end by themselves, unlike a document whose storage is damaged. */
const SOON_OVER: ReadonlySet<string> = new Set<ErrorCode>(['auth_unavailable', 'database_unavailable']);
/** An awareness update of nobody: a count of zero. */
const NO_PRESENCE = new Uint8Array([0]);
/** `readyState` of a WebSocket. */
const OPEN = 1;
const CLOSED = 3;

/**
 * One socket in the hub: takes its frames apart, handles edits and presence, and hands everything else (tokens, state
 * vectors, closing) to Hocuspocus. Frames for a document that is still opening wait, up to a limit.
 */
export class Session {
  readonly wire: Wire;
  readonly #hub: SessionHub;
  readonly #socket: HubSocket;
  readonly #client: ClientConnection;
  readonly #attached = new Map<string, Attached>();
  readonly #waiting: WaitingFrames;
  #granted: Grant | undefined;
  /** Whether presence is sent; see {@link Session.#greet}. */
  #isGreeted: boolean;
  #isClosed = false;

  constructor(hub: SessionHub, socket: HubSocket, wire: Wire) {
    this.#hub = hub;
    this.#socket = socket;
    this.wire = wire;
    this.#waiting = new WaitingFrames(hub.limits.waitingBytes);
    this.#isGreeted = wire.protocol === 'hocuspocus';
    this.#client = hub.register(this);
  }

  /** Opens the document of a y-websocket socket, whose access is decided already. */
  open(document: string, grant: Grant): void {
    this.#granted = grant;
    this.#client.handleMessage(encodeToken(document, ''));
  }

  /** Decides what this session may do with a document. */
  async authorize(document: string, token: string): Promise<Grant> {
    return this.#granted ?? this.#hub.authorize({ document, token: token || null });
  }

  /** Takes a frame of the client. Never throws. */
  receive(bytes: Uint8Array): void {
    // A socket goes on delivering what it had received while it closes.
    if (this.#isClosed) return;
    let frame: Frame;
    try {
      frame = this.wire.read(bytes);
    } catch {
      this.end('bad_frame');
      return;
    }
    switch (frame.type) {
      case MessageType.Sync:
      case MessageType.SyncReply:
      case MessageType.Awareness:
      case MessageType.QueryAwareness:
        if (frame.step !== SyncStep.StateVector) this.#handleOrWait(frame);
        // Hocuspocus would close the document, and leave the socket open.
        else if (!isStateVector(frame.payload)) this.end('bad_frame');
        else this.#forward(bytes);
        break;
      case MessageType.Auth:
      case MessageType.Close:
        // A y-websocket socket has one document, opened before its first frame.
        if (this.wire.protocol === 'hocuspocus') this.#forward(bytes);
        break;
      default:
      // Nothing that this server answers; a client may have use for it elsewhere.
    }
  }

  #forward(bytes: Uint8Array): void {
    this.#client.handleMessage(this.wire.toHocuspocus(bytes));
  }

  #handleOrWait(frame: Frame): void {
    const attached = this.#attached.get(frame.address) ?? this.#attached.get(documentOf(frame.address));
    if (attached !== undefined) this.#handle(attached, frame);
    else if (!this.#waiting.add(frame)) this.end('too_many_waiting');
  }

  #handle(attached: Attached, frame: Frame): void {
    if (frame.type === MessageType.QueryAwareness) {
      this.send(encodeAwareness(attached.connection.messageAddress, attached.open.presence.encode()));
    } else if (frame.type === MessageType.Awareness) {
      this.#receivePresence(attached, frame.payload);
    } else if (frame.step === SyncStep.Missing || frame.step === SyncStep.Update) {
      this.#receiveEdit(attached, frame);
    } else {
      this.end('bad_frame');
    }
    if (!this.#isGreeted) this.#greet(attached);
  }

  #receivePresence(attached: Attached, update: Uint8Array): void {
    try {
      attached.open.presence.receive(attached, update);
    } catch {
      this.end('bad_frame');
    }
  }

  /**
   * A y-websocket client sends back every state that it is sent. So it is sent none before it has answered our step 1 or
   * has said who it is, which it does first: then what it says first is about itself, and no repeat.
   */
  #greet({ open, connection }: Attached): void {
    this.#isGreeted = true;
    open.presence.meet(connection);
    this.send(encodeAwareness(connection.messageAddress, open.presence.encode()));
  }

  #receiveEdit(attached: Attached, { step, payload }: Frame): void {
    const { open, connection, acks, user } = attached;
    const since = performance.now();
    this.#hub.metrics.updatesIn.inc();
    if (!this.#isSound(payload)) return;
    if (connection.readOnly) {
      if (step === SyncStep.Missing && open.contains(payload)) acks.owe(open.lastSequence, since);
      else acks.oweRefusal(since);
      this.#hub.settle(acks);
      return;
    }
    const update = this.#apply(attached, payload);
    if (update === 'failed') return;
    if (update !== null) {
      this.#hub.append(open, update, user);
      open.observeDelivery(since, this.#hub.metrics.deliverySeconds);
    }
    acks.owe(open.lastSequence, since);
    this.#hub.settle(acks);
  }

  #isSound(update: Uint8Array): boolean {
    try {
      checkUpdate(update, this.#hub.limits.update);
      return true;
    } catch (error) {
      this.#hub.log.warn({ err: messageOf(error) }, 'an update is refused');
      this.end('bad_update');
      return false;
    }
  }

  #apply({ open, connection }: Attached, update: Uint8Array): Uint8Array | null | 'failed' {
    const { isWaitingForMore } = open;
    try {
      return open.apply(update, { source: 'connection', connection });
    } catch (error) {
      // Final for its sender, who would only send it again. But it may have brought the predecessors of somebody
      // else's update, and that one threw.
      if (!isWaitingForMore) this.end('bad_update');
      this.#hub.rebuild(open, error);
      return 'failed';
    }
  }

  /** Hocuspocus has connected this session to a document. */
  attach(connection: Connection, open: OpenDocument, user: string | null): void {
    const address = connection.messageAddress;
    const ack = { yes: encodeSyncStatus(address, true), no: encodeSyncStatus(address, false) };
    const acks = new Acks(
      (committed) => this.send(committed ? ack.yes : ack.no),
      (seconds) => this.#hub.metrics.ackSeconds.observe(seconds),
    );
    const attached: Attached = { open, connection, acks, user };
    connection.onClose(() => this.#detach(address, attached));
    if (open.isSpoilt) {
      this.end('document_reset');
      return;
    }
    // Hocuspocus may have closed it again already, for a Close frame that was waiting: its edits still count.
    if (open.document.hasConnection(connection)) this.#attached.set(address, attached);
    this.#handleWaiting(address, attached);
  }

  #handleWaiting(address: string, attached: Attached): void {
    for (const frame of this.#waiting.take(address)) if (!this.#isClosed) this.#handle(attached, frame);
  }

  #detach(address: string, { open, connection, acks }: Attached): void {
    if (this.#attached.get(address)?.connection === connection) this.#attached.delete(address);
    open.presence.release(connection);
    this.#hub.forget(acks);
    // Its only document: on an open socket it would wait for nothing.
    if (this.wire.protocol === 'y-websocket' && !this.#isClosed) this.end('document_reset');
  }

  /** `readyState` for Hocuspocus. */
  get readyState(): number {
    return this.#socket.isOpen && !this.#isClosed ? OPEN : CLOSED;
  }

  /** Sends a frame of Hocuspocus to the client. */
  send(frame: Uint8Array): void {
    const start = addressLength(frame);
    if (!this.#isGreeted && frame[start] === MessageType.Awareness) return;
    const message = this.wire.toClient(frame);
    if (message !== null) this.#socket.send(message);
    if (isUpdate(frame, start)) {
      this.#hub.metrics.updatesOut.inc();
      return;
    }
    const reason = readDenied(frame, start);
    if (reason !== null) this.#refused(frame, reason);
  }

  /** Sends a frame that changes nothing. */
  keepAlive(): void {
    const [address] = this.#attached.keys();
    if (address !== undefined) this.send(encodeAwareness(address, NO_PRESENCE));
  }

  /** A refused document ends a y-websocket socket; other sockets may have more documents. */
  #refused(frame: Uint8Array, reason: string): void {
    const code = closeCodeOf(reason);
    // A provider does not ask again for a document that it was refused, but it does when its socket comes back. So the
    // socket ends when that may help, also one with more documents where it will soon: they all come back.
    const mayHelp = code < 4400 || code >= 4500;
    const mayHelpSoon = SOON_OVER.has(reason);
    if (this.wire.protocol === 'y-websocket' || mayHelpSoon || (mayHelp && this.#attached.size === 0)) {
      this.close(code, reason);
    } else {
      this.#waiting.take(this.wire.read(frame).address);
    }
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
    this.#waiting.clear();
    try {
      this.#client.handleClose({ code, reason });
    } catch (error) {
      this.#hub.log.error({ err: messageOf(error) }, 'closing a session failed');
    }
  }
}

function isStateVector(bytes: Uint8Array): boolean {
  try {
    Y.decodeStateVector(bytes);
    return true;
  } catch {
    return false;
  }
}
