import * as Y from 'yjs';
import type { Access, Decision } from '../auth/access.ts';
import { IndelibleError, toIndelibleError, type ErrorCode } from '../errors.ts';
import {
  MessageType,
  SyncStep,
  encodeAwareness,
  encodeGranted,
  encodeSync,
  encodeSyncStatus,
  type Frame,
} from '../protocol/frames.ts';
import { Acks } from './acks.ts';
import { ClientEdits, type ClientEditsHub } from './client-edits.ts';
import { Expiry } from './expiry.ts';
import type { Connection } from './host.ts';
import type { OpenDocument } from './open-document.ts';
import type { Question } from './state-answers.ts';
import type { Turns } from './turns.ts';

export interface SendOptions {
  /** May be left out for a client that is slow; the socket asks for all of it again later. */
  readonly isPresence?: boolean | undefined;
  /** Called when the frame has left, or never will. */
  readonly onSent?: (() => void) | undefined;
}

/** What a connection needs of its session. */
export interface ConnectionSession {
  write(frame: Uint8Array, options?: SendOptions): void;
  /** Ends the session with all its documents. */
  end(code: ErrorCode): void;
  /** Takes this document from the client, and says why. */
  takeAway(connection: DocumentConnection, code: ErrorCode): void;
}

/** What a connection needs of the hub. */
export interface ConnectionHub extends ClientEditsHub {
  readonly access: Access;
  /** In which answers are sent. */
  readonly turns: Turns;
  forget(acks: Acks): void;
}

/** One document that a session is connected to: what its client says there, may do there, and is owed. */
export class DocumentConnection {
  readonly open: OpenDocument;
  readonly connection: Connection;
  readonly user: string | null;
  readonly #hub: ConnectionHub;
  readonly #session: ConnectionSession;
  readonly #acks: Acks;
  readonly #edits: ClientEdits;
  readonly #expiry: Expiry;
  #grant: Decision;
  /** Why the grant ends at its time: not for being old, if a newer token could not be judged. */
  #endsAs: ErrorCode = 'token_expired';
  /** How often the client has presented another token. */
  #renewals = 0;
  /** Whether everybody's presence is on its way. */
  #isTelling: 'no' | 'yes' | 'again' = 'no';
  /** Whether an answer to a state vector is on its way. */
  #isAnswering = false;
  /** What was asked meanwhile: the latest, since it holds what those before it do. */
  #nextQuestion: Uint8Array | undefined;

  constructor(
    hub: ConnectionHub,
    session: ConnectionSession,
    joined: { connection: Connection; open: OpenDocument; grant: Decision },
  ) {
    this.#hub = hub;
    this.#session = session;
    this.open = joined.open;
    this.connection = joined.connection;
    this.user = joined.grant.user;
    this.#grant = joined.grant;
    const [yes, no] = [encodeSyncStatus(this.address, true), encodeSyncStatus(this.address, false)];
    this.#acks = new Acks(
      (committed) => session.write(committed ? yes : no),
      (seconds) => hub.metrics.ackSeconds.observe(seconds),
    );
    this.#edits = new ClientEdits(hub, {
      open: joined.open,
      connection: joined.connection,
      user: joined.grant.user,
      acks: this.#acks,
      end: (code) => session.end(code),
      takeAway: (code) => session.takeAway(this, code),
    });
    this.#expiry = new Expiry(() => session.takeAway(this, this.#endsAs));
    this.#expiry.set(joined.grant.expiresAt);
  }

  /** The document's name, with the client's session id if it has one. */
  get address(): string {
    return this.connection.messageAddress;
  }

  get grant(): Decision {
    return this.#grant;
  }

  /** Takes a frame of the client. Never throws. */
  handle(frame: Frame): void {
    const { step, payload } = frame;
    if (step === SyncStep.Missing || step === SyncStep.Update) {
      this.#edits.receive(step, payload);
      return;
    }
    // What the client has said before.
    this.applyEdits();
    this.#handle(frame);
  }

  #handle({ type, step, payload, token }: Frame): void {
    switch (type) {
      case MessageType.Auth:
        // Never rejects.
        if (token !== undefined) void this.#renew(token);
        break;
      case MessageType.QueryAwareness:
        this.tellPresence();
        break;
      case MessageType.Awareness:
        this.#receivePresence(payload);
        break;
      case MessageType.Close:
        this.connection.close({ code: 1000, reason: 'provider_initiated' });
        break;
      default:
        if (step === SyncStep.StateVector) this.#receiveQuestion(payload);
        else this.#session.end('bad_frame');
    }
  }

  /** Applies the edits that have arrived. Never throws. */
  applyEdits(): void {
    this.#edits.apply();
  }

  /** Sends everybody's presence; if that is on its way already, once more when it has left. */
  tellPresence(): void {
    if (this.#isTelling !== 'no') {
      this.#isTelling = 'again';
      return;
    }
    this.#isTelling = 'yes';
    const onSent = () => {
      const isAskedAgain = this.#isTelling === 'again';
      this.#isTelling = 'no';
      if (isAskedAgain && !this.#isOver) this.tellPresence();
    };
    this.#session.write(encodeAwareness(this.address, this.open.presence.encode()), {
      isPresence: true,
      onSent,
    });
  }

  /** Asks for what the server lacks, and tells all that it has, to a client that does not ask. */
  resync(): void {
    this.#answer(Y.encodeStateVector(new Y.Doc()));
  }

  /** The client is connected to the document no more. */
  leave(): void {
    this.#expiry.clear();
    this.open.presence.release(this.connection);
    this.open.broadcast.forget(this.connection);
    this.#hub.forget(this.#acks);
  }

  #receivePresence(update: Uint8Array): void {
    try {
      this.open.presence.receive(this, update);
    } catch (error) {
      this.refusePresence(error);
    }
  }

  refusePresence(error: unknown): void {
    this.#session.end(error instanceof IndelibleError ? error.code : 'bad_frame');
  }

  /** Asked for what the client lacks, the server asks in return, and tells. */
  #receiveQuestion(stateVector: Uint8Array): void {
    if (!isStateVector(stateVector)) {
      this.#session.end('bad_frame');
    } else if (this.#isAnswering) {
      // One at a time: the question costs 20 bytes, and the answer may be the whole document.
      this.#nextQuestion = stateVector.slice();
    } else {
      this.#answer(stateVector);
    }
  }

  #answer(stateVector: Uint8Array): void {
    this.#isAnswering = true;
    const onSent = () => {
      this.#isAnswering = false;
      const next = this.#nextQuestion;
      this.#nextQuestion = undefined;
      if (next !== undefined && !this.#isOver) this.#answer(next);
    };
    // In the order of Hocuspocus: a client that has been told has then been asked, and has sent what we lack.
    const own = Y.encodeStateVector(this.open.document);
    this.#session.write(encodeSync(this.address, SyncStep.StateVector, own));
    const { answers } = this.open;
    const question = answers.ask(stateVector);
    const send = () => {
      const bytes = this.#isOver ? 0 : this.#tell(question, onSent);
      answers.close();
      return bytes;
    };
    if (this.open.isSmall) send();
    else this.#hub.turns.take({ send, isReady: () => this.#isOver || answers.isReady(question) });
  }

  /** @returns how many bytes it has sent. Never throws. */
  #tell(question: Question, onSent: () => void): number {
    try {
      const { answers } = this.open;
      const frame = answers.frame(this.address, question);
      const onLeft = () => {
        answers.left();
        onSent();
      };
      this.#session.write(frame, { onSent: onLeft });
      return frame.byteLength;
    } catch (error) {
      // What cannot be encoded is of no use to anybody.
      this.#hub.rebuild(this.open, error);
      return 0;
    }
  }

  get #isOver(): boolean {
    return !this.open.document.hasConnection(this.connection);
  }

  /** Another token: for the same user, it takes the place of the one before at once. */
  async #renew(token: string): Promise<void> {
    const renewal = (this.#renewals += 1);
    const isOvertaken = () => this.#isOver || renewal !== this.#renewals;
    try {
      const grant = await this.#hub.access.decide({ document: this.open.name, token: token || null });
      if (isOvertaken()) return;
      if (grant.user !== this.user) throw new IndelibleError('forbidden', 'another user');
      this.#grant = grant;
      this.#endsAs = 'token_expired';
      this.#expiry.set(grant.expiresAt);
      this.connection.readOnly = grant.access === 'read';
      this.#session.write(encodeGranted(this.address, grant.access));
    } catch (error) {
      if (isOvertaken()) return;
      const { code } = toIndelibleError(error);
      // It may be good, so the one before serves to its end.
      if (code === 'auth_unavailable') this.#endsAs = code;
      else this.#session.takeAway(this, code);
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
