import * as Y from 'yjs';
import type { Access } from '../auth/access.ts';
import type { Grant } from '../auth/grant.ts';
import { IndelibleError, closeCodeOf, messageOf, type ErrorCode } from '../errors.ts';
import type { Limits, Meter } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import {
  MessageType,
  SyncStep,
  addressLength,
  documentOf,
  encodeAwareness,
  encodeDenied,
  encodeGranted,
  encodeSync,
  encodeSyncStatus,
  encodeToken,
  isUpdate,
  readDenied,
  readFrame,
  type Frame,
} from '../protocol/frames.ts';
import type { Wire } from '../protocol/wire.ts';
import { Acks } from './acks.ts';
import { Expiry } from './expiry.ts';
import type { ClientConnection, Connection } from './host.ts';
import type { OpenDocument } from './open-document.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';
import { WaitingFrames } from './waiting-frames.ts';

/** What a session needs of its socket, whatever its transport. */
export interface HubSocket {
  readonly isOpen: boolean;
  send(frame: Uint8Array, options?: SendOptions): void;
  /** Reads no more for so many milliseconds. */
  rest(ms: number): void;
  close(code: number, reason: string): void;
}

export interface SendOptions {
  /** May be left out for a client that is slow; the socket asks for all of it again later ({@link Session.catchUp}). */
  readonly isPresence?: boolean | undefined;
  /** Called when the frame has left, or never will. */
  readonly onSent?: (() => void) | undefined;
}

/** Bounds on one session; see the settings of the same names. */
export interface SessionLimits {
  readonly authMs: number;
  readonly documents: number;
  readonly waitingBytes: number;
  readonly update: UpdateLimits;
}

/** What a session needs of the hub. */
export interface SessionHub {
  readonly limits: SessionLimits;
  readonly counts: Limits;
  readonly access: Access;
  readonly log: Log;
  readonly metrics: Metrics;
  register(session: Session): ClientConnection;
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
  readonly expiry: Expiry;
  grant: Grant;
  /** Why the grant ends at its time: not for being old, if a newer token could not be judged. */
  endsAs: ErrorCode;
  /** How often the client has presented another token. */
  renewals: number;
  /** Set while an answer to a state vector is on its way. */
  isAnswering: boolean;
  /** What was asked meanwhile: the latest, since it holds what those before it do. */
  nextQuestion: Uint8Array | undefined;
}

/** Refusals that end by themselves, unlike a document whose storage is damaged. */
const SOON_OVER: ReadonlySet<string> = new Set<ErrorCode>(['auth_unavailable', 'database_unavailable']);
/** An awareness update of nobody: a count of zero. */
const NO_PRESENCE = new Uint8Array([0]);
/** `readyState` of a WebSocket. */
const OPEN = 1;
const CLOSED = 3;

/**
 * One socket in the hub: takes its frames apart, decides what they may do, handles edits, state vectors and presence, and
 * leaves first tokens and Close frames to Hocuspocus. Frames for a document that is still opening wait, up to a limit.
 */
export class Session {
  readonly wire: Wire;
  readonly #hub: SessionHub;
  readonly #socket: HubSocket;
  readonly #client: ClientConnection;
  readonly #meter: Meter;
  readonly #attached = new Map<string, Attached>();
  /** Addresses whose token was presented and is being judged, or whose document is being loaded. */
  readonly #opening = new Set<string>();
  readonly #waiting: WaitingFrames;
  #granted: Grant | undefined;
  #authTimer: NodeJS.Timeout | undefined;
  #hasPresented = false;
  /** Whether presence is sent; see {@link Session.#greet}. */
  #isGreeted: boolean;
  #isClosed = false;

  constructor(hub: SessionHub, socket: HubSocket, wire: Wire) {
    this.#hub = hub;
    this.#socket = socket;
    this.wire = wire;
    this.#meter = hub.counts.meter();
    this.#waiting = new WaitingFrames(hub.limits.waitingBytes);
    this.#isGreeted = wire.protocol === 'hocuspocus';
    this.#client = hub.register(this);
    if (wire.protocol === 'hocuspocus') this.#expectToken();
  }

  /** Opens the document of a y-websocket socket, whose access is decided already. */
  open(document: string, grant: Grant): void {
    this.#granted = grant;
    this.#opening.add(document);
    this.#client.handleMessage(encodeToken(document, ''));
  }

  /** Decides what this session may do with a document. */
  async authorize(document: string, token: string): Promise<Grant> {
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
      this.end('bad_frame');
      return;
    }
    switch (frame.type) {
      case MessageType.Sync:
      case MessageType.SyncReply:
      case MessageType.Awareness:
      case MessageType.QueryAwareness:
        this.#handleOrWait(frame);
        break;
      case MessageType.Auth:
        if (this.#find(frame) === undefined && !this.#opening.has(frame.address)) this.#present(frame, bytes);
        else this.#handleOrWait(frame);
        break;
      case MessageType.Close:
        // A y-websocket socket has one document, opened before its first frame.
        if (this.wire.protocol === 'hocuspocus') this.#client.handleMessage(bytes);
        break;
      default:
      // Nothing that this server answers; a client may have use for it elsewhere.
    }
  }

  /** The first token for a document: Hocuspocus asks us about it, and loads the document. */
  #present({ address }: Frame, bytes: Uint8Array): void {
    if (this.wire.protocol !== 'hocuspocus') return;
    this.#hasPresented = true;
    if (this.#attached.size + this.#opening.size >= this.#hub.limits.documents) {
      this.#deny(address, 'too_many_documents');
      return;
    }
    this.#opening.add(address);
    this.#client.handleMessage(bytes);
  }

  #find({ address }: Frame): Attached | undefined {
    return this.#attached.get(address) ?? this.#attached.get(documentOf(address));
  }

  #handleOrWait(frame: Frame): void {
    const attached = this.#find(frame);
    if (attached !== undefined) {
      this.#handle(attached, frame);
    } else if (!this.#waiting.add(frame)) {
      this.end('too_many_waiting');
    } else if (!this.#opening.has(frame.address)) {
      // A provider may send an edit before its token, which it may have to fetch.
      this.#expectToken();
    }
  }

  #expectToken(): void {
    this.#authTimer ??= setTimeout(() => {
      this.#authTimer = undefined;
      this.#endWait();
    }, this.#hub.limits.authMs);
  }

  /** No token has come for what is waiting. */
  #endWait(): void {
    if (!this.#hasPresented) {
      this.end('auth_late');
      return;
    }
    for (const address of this.#waiting.addresses()) {
      if (!this.#opening.has(address)) this.#deny(address, 'auth_late');
    }
  }

  #handle(attached: Attached, frame: Frame): void {
    switch (frame.type) {
      case MessageType.Auth:
        // Never rejects.
        if (frame.token !== undefined) void this.#renew(attached, frame.token);
        return;
      case MessageType.QueryAwareness:
        this.#tellPresence(attached);
        break;
      case MessageType.Awareness:
        this.#receivePresence(attached, frame.payload);
        break;
      default:
        if (frame.step === SyncStep.StateVector) {
          this.#receiveQuestion(attached, frame.payload);
          return;
        }
        if (frame.step === SyncStep.Missing || frame.step === SyncStep.Update)
          this.#receiveEdit(attached, frame);
        else this.end('bad_frame');
    }
    if (!this.#isGreeted) this.#greet(attached);
  }

  /** Asked for what it lacks, the server tells, and asks in return. */
  #receiveQuestion(attached: Attached, stateVector: Uint8Array): void {
    if (!isStateVector(stateVector)) {
      this.end('bad_frame');
    } else if (attached.isAnswering) {
      // One at a time: the question costs 20 bytes, and the answer may be the whole document.
      attached.nextQuestion = stateVector.slice();
    } else {
      this.#answer(attached, stateVector);
    }
  }

  #answer(attached: Attached, stateVector: Uint8Array): void {
    const { open, connection } = attached;
    const address = connection.messageAddress;
    attached.isAnswering = true;
    this.#write(open.answers.frame(address, stateVector), {
      onSent: () => {
        attached.isAnswering = false;
        const next = attached.nextQuestion;
        attached.nextQuestion = undefined;
        if (next !== undefined && !this.#isClosed) this.#answer(attached, next);
      },
    });
    this.#write(encodeSync(address, SyncStep.StateVector, Y.encodeStateVector(open.document)));
  }

  #receivePresence(attached: Attached, update: Uint8Array): void {
    try {
      attached.open.presence.receive(attached, update);
    } catch (error) {
      this.end(error instanceof IndelibleError ? error.code : 'bad_frame');
    }
  }

  /**
   * A y-websocket client sends back every state that it is sent. So it is sent none before it has answered our step 1 or
   * has said who it is, which it does first: then what it says first is about itself, and no repeat.
   */
  #greet(attached: Attached): void {
    this.#isGreeted = true;
    attached.open.presence.meet(attached.connection);
    this.#tellPresence(attached);
  }

  #tellPresence({ open, connection }: Attached): void {
    this.#write(encodeAwareness(connection.messageAddress, open.presence.encode()), { isPresence: true });
  }

  /** Sends everybody's presence again, some of which the client was spared. */
  catchUp(): void {
    if (this.#isGreeted) for (const attached of this.#attached.values()) this.#tellPresence(attached);
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
    const refusal = open.refusalOf(payload);
    if (refusal !== null) {
      this.#takeAway(attached, refusal);
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
  attach(connection: Connection, open: OpenDocument, grant: Grant): void {
    const address = connection.messageAddress;
    this.#opening.delete(address);
    const ack = { yes: encodeSyncStatus(address, true), no: encodeSyncStatus(address, false) };
    const acks = new Acks(
      (committed) => this.#write(committed ? ack.yes : ack.no),
      (seconds) => this.#hub.metrics.ackSeconds.observe(seconds),
    );
    const attached: Attached = {
      open,
      connection,
      acks,
      user: grant.user,
      expiry: new Expiry(() => this.#takeAway(attached, attached.endsAs)),
      grant,
      endsAs: 'token_expired',
      renewals: 0,
      isAnswering: false,
      nextQuestion: undefined,
    };
    connection.onClose(() => this.#detach(address, attached));
    if (open.isSpoilt) {
      this.end('document_reset');
      return;
    }
    if (!this.#join(attached)) return;
    // Hocuspocus may have closed it again already, for a Close frame that was waiting: its edits still count.
    if (open.document.hasConnection(connection)) this.#attached.set(address, attached);
    this.#handleWaiting(address, attached);
  }

  /** Counts the connection, and looks once more at what may have changed while the document was loaded. */
  #join(attached: Attached): boolean {
    const { open, connection, user, grant, expiry } = attached;
    try {
      const leave = this.#hub.counts.join(open.name);
      connection.onClose(leave);
      if (this.#hub.access.isRevoked(open.name, grant)) throw new IndelibleError('revoked');
    } catch (error) {
      this.#takeAway(attached, codeOf(error));
      return false;
    }
    if (user !== null) this.#meter.countFor(user);
    expiry.set(grant.expiresAt);
    return true;
  }

  /** Another token for an open document: for the same user, it takes the place of the one before at once. */
  async #renew(attached: Attached, token: string): Promise<void> {
    const renewal = (attached.renewals += 1);
    const { open, connection, user } = attached;
    const isOver = () => renewal !== attached.renewals || !open.document.hasConnection(connection);
    try {
      const grant = await this.#hub.access.decide({ document: open.name, token: token || null });
      if (isOver()) return;
      if (grant.user !== user) throw new IndelibleError('forbidden', 'another user');
      attached.grant = grant;
      attached.endsAs = 'token_expired';
      attached.expiry.set(grant.expiresAt);
      connection.readOnly = grant.access === 'read';
      this.#write(encodeGranted(connection.messageAddress, grant.access));
    } catch (error) {
      const code = codeOf(error);
      if (isOver()) return;
      // It may be good, so the one before serves to its end.
      if (code === 'auth_unavailable') attached.endsAs = code;
      else this.#takeAway(attached, code);
    }
  }

  /** Ends this session's access to a document if that was taken back. */
  endRevoked(document: string, isRevoked: (grant: Grant) => boolean): void {
    for (const attached of this.#attached.values()) {
      if (attached.open.name === document && isRevoked(attached.grant)) this.#takeAway(attached, 'revoked');
    }
  }

  /**
   * Takes a document from the client, saying why. The socket closes once it has no other, or when the client should come
   * back: a provider does not ask again for a document that it was refused.
   */
  #takeAway({ connection }: Attached, code: ErrorCode): void {
    const address = connection.messageAddress;
    const isLast = [...this.#attached.keys(), ...this.#opening].every((other) => other === address);
    if (this.wire.protocol === 'y-websocket' || isLast || SOON_OVER.has(code)) {
      this.end(code);
      return;
    }
    this.#deny(address, code);
    connection.close({ code: closeCodeOf(code), reason: code });
  }

  #deny(address: string, code: ErrorCode): void {
    this.#hub.metrics.refused.inc({ code });
    this.#waiting.take(address);
    this.#write(encodeDenied(address, code));
  }

  #handleWaiting(address: string, attached: Attached): void {
    for (const frame of this.#waiting.take(address)) if (!this.#isClosed) this.#handle(attached, frame);
  }

  #detach(address: string, { open, connection, acks, expiry }: Attached): void {
    expiry.clear();
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
    const isPresence = frame[start] === MessageType.Awareness;
    if (!this.#isGreeted && isPresence) return;
    this.#write(frame, { isPresence });
    if (isUpdate(frame, start)) {
      this.#hub.metrics.updatesOut.inc();
      return;
    }
    const reason = readDenied(frame, start);
    if (reason !== null) this.#refused(frame, reason);
  }

  #write(frame: Uint8Array, options?: SendOptions): void {
    const message = this.wire.toClient(frame);
    if (message !== null) this.#socket.send(message, options);
  }

  /** Sends a frame that changes nothing. */
  keepAlive(): void {
    const [address] = this.#attached.keys();
    if (address !== undefined) this.send(encodeAwareness(address, NO_PRESENCE));
  }

  /** A refused document ends a y-websocket socket; other sockets may have more documents. */
  #refused(frame: Uint8Array, reason: string): void {
    const { address } = readFrame(frame);
    this.#opening.delete(address);
    const code = closeCodeOf(reason);
    // A provider does not ask again for a document that it was refused, but it does when its socket comes back. So the
    // socket ends when that may help, also one with more documents where it will soon: they all come back.
    const mayHelp = code < 4400 || code >= 4500;
    const mayHelpSoon = SOON_OVER.has(reason);
    if (this.wire.protocol === 'y-websocket' || mayHelpSoon || (mayHelp && this.#attached.size === 0)) {
      this.close(code, reason);
    } else {
      this.#waiting.take(address);
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

function isStateVector(bytes: Uint8Array): boolean {
  try {
    Y.decodeStateVector(bytes);
    return true;
  } catch {
    return false;
  }
}

function codeOf(error: unknown): ErrorCode {
  return error instanceof IndelibleError ? error.code : 'internal_error';
}
