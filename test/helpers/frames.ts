import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';

/*
 * Both wire protocols as the tests see them, written down a second time and apart from server/protocol, so that a
 * mistake there cannot hide here.
 *
 *   Hocuspocus    varString address, varUint type, body     (a ping and a pong are one byte without an address)
 *   y-websocket                      varUint type, body
 *
 *   0 Sync            varUint 0 step 1 | 1 step 2 | 2 update, varUint8Array
 *   1 Awareness       varUint8Array
 *   2 Auth            Hocuspocus: varUint 0 token, varString (none: the server asks for one) | 1 denied, varString
 *                     | 2 authenticated, varString; y-websocket: 0 denied, varString
 *   3 QueryAwareness
 *   5 Stateless       varString
 *   7 Close           varString (none from a client)
 *   8 SyncStatus      varUint 1 saved | 0 refused
 *   9 Ping, 10 Pong
 */

export type Dialect = 'hocuspocus' | 'y-websocket';

interface Bodies {
  step1: { stateVector: Uint8Array };
  step2: { update: Uint8Array };
  update: { update: Uint8Array };
  awareness: { update: Uint8Array };
  token: { token?: string };
  denied: { reason: string };
  authenticated: { scope: string };
  'query-awareness': object;
  stateless: { payload: string };
  close: { reason?: string };
  'sync-status': { saved: boolean };
  ping: object;
  pong: object;
  unknown: { code: number; body: Uint8Array };
}

export type FrameType = keyof Bodies;
export type Frame<T extends FrameType = FrameType> = { [K in T]: { type: K } & Bodies[K] }[T];

/** A frame that arrived: what it says, the document's address (Hocuspocus), and the bytes themselves. */
export type Received<T extends FrameType = FrameType> = Frame<T> & { address?: string; bytes: Uint8Array };

const SYNC_TYPES = ['step1', 'step2', 'update'] as const;
const CODES = {
  step1: 0,
  step2: 0,
  update: 0,
  awareness: 1,
  token: 2,
  denied: 2,
  authenticated: 2,
  'query-awareness': 3,
  stateless: 5,
  close: 7,
  'sync-status': 8,
  ping: 9,
  pong: 10,
} as const;

export function decodeFrame(dialect: Dialect, bytes: Uint8Array): Received {
  const decoder = decoding.createDecoder(bytes);
  if (dialect === 'y-websocket') return { ...decodeBody(dialect, decoder), bytes };
  if (bytes.length === 1) return { type: bytes[0] === CODES.ping ? 'ping' : 'pong', bytes };
  const address = decoding.readVarString(decoder);
  return { ...decodeBody(dialect, decoder), address, bytes };
}

export function encodeFrame(dialect: Dialect, frame: Frame, address = ''): Uint8Array {
  return encoding.encode((encoder) => {
    const bare = frame.type === 'ping' || frame.type === 'pong';
    if (dialect === 'hocuspocus' && !bare) encoding.writeVarString(encoder, address);
    encoding.writeVarUint(encoder, frame.type === 'unknown' ? frame.code : CODES[frame.type]);
    encodeBody(dialect, encoder, frame);
  });
}

function decodeBody(dialect: Dialect, decoder: decoding.Decoder): Frame {
  const code = decoding.readVarUint(decoder);
  switch (code) {
    case CODES.update:
      return decodeSync(decoder);
    case CODES.awareness:
      return { type: 'awareness', update: decoding.readVarUint8Array(decoder) };
    case CODES.token:
      return decodeAuth(dialect, decoder);
    case CODES['query-awareness']:
      return { type: 'query-awareness' };
    case CODES.stateless:
      return { type: 'stateless', payload: decoding.readVarString(decoder) };
    case CODES.close:
      return { type: 'close', ...optional('reason', decoder) };
    case CODES['sync-status']:
      return { type: 'sync-status', saved: decoding.readVarUint(decoder) === 1 };
    default:
      return { type: 'unknown', code, body: decoding.readTailAsUint8Array(decoder) };
  }
}

function decodeSync(decoder: decoding.Decoder): Frame {
  const kind = decoding.readVarUint(decoder);
  const type = SYNC_TYPES[kind];
  if (type === undefined) throw new Error(`a sync frame of kind ${kind}`);
  const body = decoding.readVarUint8Array(decoder);
  return type === 'step1' ? { type, stateVector: body } : { type, update: body };
}

function decodeAuth(dialect: Dialect, decoder: decoding.Decoder): Frame {
  const kind = decoding.readVarUint(decoder);
  if (dialect === 'y-websocket' || kind === 1)
    return { type: 'denied', reason: decoding.readVarString(decoder) };
  if (kind === 2) return { type: 'authenticated', scope: decoding.readVarString(decoder) };
  return { type: 'token', ...optional('token', decoder) };
}

function optional<K extends string>(key: K, decoder: decoding.Decoder): { [key in K]?: string } {
  return decoding.hasContent(decoder)
    ? ({ [key]: decoding.readVarString(decoder) } as { [key in K]: string })
    : {};
}

function encodeBody(dialect: Dialect, encoder: encoding.Encoder, frame: Frame): void {
  switch (frame.type) {
    case 'step1':
      encoding.writeVarUint(encoder, 0);
      return encoding.writeVarUint8Array(encoder, frame.stateVector);
    case 'step2':
    case 'update':
      encoding.writeVarUint(encoder, SYNC_TYPES.indexOf(frame.type));
      return encoding.writeVarUint8Array(encoder, frame.update);
    case 'awareness':
      return encoding.writeVarUint8Array(encoder, frame.update);
    case 'token':
      encoding.writeVarUint(encoder, 0);
      return writeOptional(encoder, frame.token);
    case 'denied':
      encoding.writeVarUint(encoder, dialect === 'y-websocket' ? 0 : 1);
      return encoding.writeVarString(encoder, frame.reason);
    case 'authenticated':
      encoding.writeVarUint(encoder, 2);
      return encoding.writeVarString(encoder, frame.scope);
    case 'stateless':
      return encoding.writeVarString(encoder, frame.payload);
    case 'close':
      return writeOptional(encoder, frame.reason);
    case 'sync-status':
      return encoding.writeVarUint(encoder, frame.saved ? 1 : 0);
    case 'unknown':
      return encoding.writeUint8Array(encoder, frame.body);
    case 'query-awareness':
    case 'ping':
    case 'pong':
  }
}

function writeOptional(encoder: encoding.Encoder, text: string | undefined): void {
  if (text !== undefined) encoding.writeVarString(encoder, text);
}
