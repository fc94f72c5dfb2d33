/**
 * The wire format of both protocols.
 *
 *   Hocuspocus frame  = varString address, message       address = name, or name "\0" session
 *   y-websocket frame = message                          the document is the path of the URL
 *
 *   message = varUint type, body
 *
 *   | type | name               | body                                          | y-websocket has it         |
 *   | ---- | ------------------ | --------------------------------------------- | -------------------------- |
 *   | 0    | Sync               | varUint step (0, 1, 2), varUint8Array         | yes                        |
 *   | 1    | Awareness          | varUint8Array (awareness update)              | yes                        |
 *   | 2    | Auth               | varUint kind, varString                       | refusal only (kind 0)      |
 *   | 3    | QueryAwareness     | -                                             | yes                        |
 *   | 4    | SyncReply          | as Sync                                       | no: sent as Sync           |
 *   | 5    | Stateless          | varString                                     | no                         |
 *   | 6    | BroadcastStateless | varString; between servers                    | no                         |
 *   | 7    | Close              | varString reason                              | no: the socket closes      |
 *   | 8    | SyncStatus         | varUint: 1 committed, 0 refused               | if asked for by `?acks=1`  |
 *   | 9/10 | Ping, Pong         | - (and no address)                            | no                         |
 *
 * A Sync body of step 0 is a state vector, of step 1 the updates that the other side lacks, of step 2 one update.
 */
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';

/** Message types. */
export const MessageType = {
  Sync: 0,
  Awareness: 1,
  Auth: 2,
  QueryAwareness: 3,
  SyncReply: 4,
  Stateless: 5,
  BroadcastStateless: 6,
  Close: 7,
  SyncStatus: 8,
  Ping: 9,
  Pong: 10,
} as const;

/** Steps of a Sync message. */
export const SyncStep = { StateVector: 0, Missing: 1, Update: 2 } as const;

/** Kinds of an Auth message. */
const AuthKind = { Token: 0, Denied: 1, Granted: 2 } as const;

/** The kind under which y-protocols, and so a y-websocket client, reads a refusal. */
const Y_WEBSOCKET_DENIED = 0;

const SESSION_SEPARATOR = '\0';

/** The document that an address names; the part after `\0` tells apart several providers of it on one socket. */
export function documentOf(address: string): string {
  const end = address.indexOf(SESSION_SEPARATOR);
  return end === -1 ? address : address.slice(0, end);
}

/** A frame taken apart. */
export interface Frame {
  readonly address: string;
  readonly type: number;
  /** Of a Sync message, else -1. */
  readonly step: number;
  /** The update, state vector or awareness update of a Sync or Awareness message; empty for the others. */
  readonly payload: Uint8Array;
  /** Of an Auth message with which a client presents its token. */
  readonly token?: string;
}

/** Characters: a name of 255 bytes and a session id, and room for a longer name to be refused by that. */
const MAX_ADDRESS = 1_024;
const NOTHING = new Uint8Array();
const UNADDRESSED: ReadonlySet<number> = new Set([MessageType.Ping, MessageType.Pong]);

/**
 * Reads a Hocuspocus frame.
 * @throws when it is cut short, or its address is too long
 */
export function readFrame(bytes: Uint8Array): Frame {
  const [first = -1] = bytes;
  if (bytes.byteLength === 1 && UNADDRESSED.has(first)) {
    return { address: '', type: first, step: -1, payload: NOTHING };
  }
  const decoder = decoding.createDecoder(bytes);
  const address = decoding.readVarString(decoder);
  // It is kept while the document opens and when it is refused, and stands in the log.
  if (address.length > MAX_ADDRESS) throw new RangeError('an address is too long');
  return readMessage(decoder, address);
}

/**
 * Reads a y-websocket frame; its address is the one of its socket.
 * @throws when it is cut short
 */
export function readUnaddressed(bytes: Uint8Array, address: string): Frame {
  return readMessage(decoding.createDecoder(bytes), address);
}

function readMessage(decoder: decoding.Decoder, address: string): Frame {
  const type = decoding.readVarUint(decoder);
  const step =
    type === MessageType.Sync || type === MessageType.SyncReply ? decoding.readVarUint(decoder) : -1;
  const frame = { address, type, step, payload: NOTHING };
  if (type === MessageType.Auth) return { ...frame, ...readToken(decoder) };
  const hasPayload = step !== -1 || type === MessageType.Awareness;
  return hasPayload ? { ...frame, payload: decoding.readVarUint8Array(decoder) } : frame;
}

function readToken(decoder: decoding.Decoder): { token?: string } {
  const kind = decoding.readVarUint(decoder);
  const token = decoding.readVarString(decoder);
  // The provider's version, which newer ones append.
  if (decoding.hasContent(decoder)) decoding.readVarString(decoder);
  return kind === AuthKind.Token ? { token } : {};
}

/** Where the message of a Hocuspocus frame begins, that is the bytes of its address. */
export function addressLength(frame: Uint8Array): number {
  const decoder = decoding.createDecoder(frame);
  return decoding.readVarUint(decoder) + decoder.pos;
}

/** The bytes with which every frame of an address begins. */
export function encodeAddress(address: string): Uint8Array {
  return encoding.encode((encoder) => encoding.writeVarString(encoder, address));
}

/** The Auth frame with which a client presents its token. */
export function encodeToken(address: string, token: string): Uint8Array {
  return encodeAuth(address, AuthKind.Token, token);
}

function encodeAuth(address: string, kind: number, text: string): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarString(encoder, address);
    encoding.writeVarUint(encoder, MessageType.Auth);
    encoding.writeVarUint(encoder, kind);
    encoding.writeVarString(encoder, text);
  });
}

/** A refusal of a document. */
export function encodeDenied(address: string, reason: string): Uint8Array {
  return encodeAuth(address, AuthKind.Denied, reason);
}

/** Says what the client may do, as Hocuspocus does when a document opens. */
export function encodeGranted(address: string, access: 'read' | 'write' | 'admin'): Uint8Array {
  return encodeAuth(address, AuthKind.Granted, access === 'read' ? 'readonly' : 'read-write');
}

/** A state vector, or the updates that one lacks. */
export function encodeSync(address: string, step: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const length = payload.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const head = encoding.encode((encoder) => {
    encoding.writeVarString(encoder, address);
    encoding.writeVarUint(encoder, MessageType.Sync);
    encoding.writeVarUint(encoder, step);
    encoding.writeVarUint(encoder, length);
  });
  // Copied once: it may be a whole document, of which an encoder makes two.
  const frame = new Uint8Array(head.byteLength + length);
  frame.set(head);
  let at = head.byteLength;
  for (const piece of payload) {
    frame.set(piece, at);
    at += piece.byteLength;
  }
  return frame;
}

/** An ack: `committed` or refused. */
export function encodeSyncStatus(address: string, committed: boolean): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarString(encoder, address);
    encoding.writeVarUint(encoder, MessageType.SyncStatus);
    encoding.writeVarUint(encoder, committed ? 1 : 0);
  });
}

/** Presence. */
export function encodeAwareness(address: string, update: Uint8Array): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarString(encoder, address);
    encoding.writeVarUint(encoder, MessageType.Awareness);
    encoding.writeVarUint8Array(encoder, update);
  });
}

/** The reason of a refusal, if the message that begins at `start` is one. */
export function readDenied(frame: Uint8Array, start: number): string | null {
  if (frame[start] !== MessageType.Auth || frame[start + 1] !== AuthKind.Denied) return null;
  const decoder = decoding.createDecoder(frame);
  decoder.pos = start + 2;
  return decoding.readVarString(decoder);
}

/** Whether the message that begins at `start` carries an edit to a client. */
export function isUpdate(frame: Uint8Array, start: number): boolean {
  return frame[start] === MessageType.Sync && frame[start + 1] === SyncStep.Update;
}

/**
 * A server frame as a y-websocket client reads it; `null` for what it has no handler for, since it logs an error for
 * an unknown type.
 * @param frame - a Hocuspocus frame; shared with other sockets, so it is never written to
 * @param addressBytes - length of its address
 */
export function toYWebsocket(frame: Uint8Array, addressBytes: number, wantsAcks: boolean): Uint8Array | null {
  const message = frame.subarray(addressBytes);
  switch (message[0] ?? -1) {
    case MessageType.Sync:
    case MessageType.Awareness:
    case MessageType.QueryAwareness:
      return message;
    case MessageType.SyncReply: {
      const copy = message.slice();
      copy[0] = MessageType.Sync;
      return copy;
    }
    case MessageType.SyncStatus:
      return wantsAcks ? message : null;
    case MessageType.Auth: {
      if (message[1] !== AuthKind.Denied) return null;
      const copy = message.slice();
      copy[1] = Y_WEBSOCKET_DENIED;
      return copy;
    }
    default:
      return null;
  }
}
