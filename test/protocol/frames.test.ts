import { describe, expect, test } from 'vitest';
import {
  MessageType,
  addressLength,
  documentOf,
  encodeAddress,
  encodeAwareness,
  encodeSyncStatus,
  encodeToken,
  isUpdate,
  readDenied,
  readFrame,
  readUnaddressed,
  toYWebsocket,
} from '../../server/protocol/frames.ts';
import { hocuspocusWire, yWebsocketWire } from '../../server/protocol/wire.ts';
import { type Frame, decodeFrame, encodeFrame } from '../helpers/frames.ts';
import { randomOf } from '../helpers/random.ts';

const NAME = 'notes/naïve ☃';
const bytes = (...numbers: number[]) => new Uint8Array(numbers);

/** Frames of a server, of every type that Hocuspocus sends. */
const SERVER_FRAMES: Frame[] = [
  { type: 'step1', stateVector: bytes(1, 2, 3) },
  { type: 'step2', update: bytes(4, 5) },
  { type: 'update', update: bytes(6) },
  { type: 'awareness', update: bytes(7, 8) },
  { type: 'query-awareness' },
  { type: 'denied', reason: 'forbidden' },
  { type: 'authenticated', scope: 'read-write' },
  { type: 'stateless', payload: 'hello' },
  { type: 'close', reason: 'bye' },
  { type: 'sync-status', saved: true },
  { type: 'sync-status', saved: false },
];

const decoded = (frame: Uint8Array) => decodeFrame('hocuspocus', frame);

function randomBytes(random: () => number): Uint8Array {
  return Uint8Array.from({ length: Math.floor(random() * 32) }, () => Math.floor(random() ** 3 * 256));
}

function outcome<T>(work: () => T): T | Error {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

/** A SyncReply has the number 4 and the body of a Sync. */
function syncReply(): Uint8Array {
  const frame = encodeFrame('hocuspocus', { type: 'step2', update: bytes(9) }, NAME);
  frame[addressLength(frame)] = MessageType.SyncReply;
  return frame;
}

describe('frames of clients', () => {
  test.each<[Frame, Partial<ReturnType<typeof readFrame>>]>([
    [
      { type: 'step1', stateVector: bytes(1) },
      { type: 0, step: 0, payload: bytes(1) },
    ],
    [
      { type: 'step2', update: bytes(2) },
      { type: 0, step: 1, payload: bytes(2) },
    ],
    [
      { type: 'update', update: bytes(3) },
      { type: 0, step: 2, payload: bytes(3) },
    ],
    [
      { type: 'awareness', update: bytes(4) },
      { type: 1, step: -1, payload: bytes(4) },
    ],
    [{ type: 'query-awareness' }, { type: 3, step: -1, payload: bytes() }],
    [
      { type: 'stateless', payload: 'x' },
      { type: 5, step: -1, payload: bytes() },
    ],
  ])('[W1] $type reads alike from both protocols', (frame, expected) => {
    const whole = { address: NAME, ...expected };
    expect(readFrame(encodeFrame('hocuspocus', frame, NAME))).toEqual(whole);
    expect(readUnaddressed(encodeFrame('y-websocket', frame), NAME)).toEqual(whole);
  });

  test('[W5] the address names a document and maybe a session', () => {
    expect(documentOf('notes/today')).toBe('notes/today');
    expect(documentOf('notes/today\0abc')).toBe('notes/today');
  });

  test('[W8] ping and pong have no address', () => {
    for (const type of ['ping', 'pong'] as const) {
      const frame = readFrame(encodeFrame('hocuspocus', { type }));
      expect(frame).toEqual({
        address: '',
        type: MessageType[type === 'ping' ? 'Ping' : 'Pong'],
        step: -1,
        payload: bytes(),
      });
    }
  });

  test('[G3] a frame that is cut short anywhere is an error', () => {
    const frames: Frame[] = [
      { type: 'update', update: bytes(1, 2, 3) },
      { type: 'awareness', update: bytes(1, 2, 3) },
      { type: 'token', token: 'token' },
    ];
    for (const frame of frames) {
      const addressed = encodeFrame('hocuspocus', frame, 'name');
      for (let end = 0; end < addressed.length; end += 1) {
        expect(() => readFrame(addressed.subarray(0, end)), `${frame.type} to ${end}`).toThrow(Error);
      }
      const unaddressed = encodeFrame('y-websocket', frame);
      for (let end = 0; end < unaddressed.length; end += 1) {
        expect(() => readUnaddressed(unaddressed.subarray(0, end), 'name')).toThrow(Error);
      }
    }
  });

  test('[G3] arbitrary bytes are read or an error', () => {
    const random = randomOf(1);
    let read = 0;
    for (let run = 0; run < 5_000; run += 1) {
      const input = randomBytes(random);
      const frame = outcome(() => readUnaddressed(input, NAME));
      if (!(frame instanceof Error)) read += 1;
      expect(outcome(() => readFrame(input))).toBeDefined();
    }
    expect(read).toBeGreaterThan(100);
  });
});

describe('frames for clients', () => {
  test.each([false, true])(
    '[W2] a y-websocket client gets what it knows (acks asked for: %s)',
    (wantsAcks) => {
      const known = ['step1', 'step2', 'update', 'awareness', 'query-awareness', 'denied'];
      if (wantsAcks) known.push('sync-status');
      for (const frame of SERVER_FRAMES) {
        const message = yWebsocketWire(NAME, wantsAcks).toClient(encodeFrame('hocuspocus', frame, NAME));
        const expected = known.includes(frame.type) ? encodeFrame('y-websocket', frame) : null;
        expect(message, frame.type).toEqual(expected);
      }
    },
  );

  test('[W2] a sync reply reaches a y-websocket client as what it knows: a sync', () => {
    const message = yWebsocketWire(NAME, false).toClient(syncReply());
    expect(message).toEqual(encodeFrame('y-websocket', { type: 'step2', update: bytes(9) }));
  });

  test.each([...SERVER_FRAMES.map((frame) => encodeFrame('hocuspocus', frame, NAME)), syncReply()])(
    '[W6] translating writes to no frame, of whatever type (%#)',
    (frame) => {
      const before = frame.slice();
      // The buffer that goes to a Hocuspocus client as it is.
      expect(hocuspocusWire.toClient(frame)).toBe(frame);
      const message = yWebsocketWire(NAME, true).toClient(frame);
      expect(frame).toEqual(before);
      // Nor are its bytes lent to a message that differs from them.
      const isChanged =
        message !== null && Buffer.compare(message, frame.subarray(addressLength(frame))) !== 0;
      expect(isChanged && message.buffer === frame.buffer).toBe(false);
    },
  );

  test('[W6] translating writes to no frame, of whatever bytes', () => {
    const random = randomOf(2);
    for (let run = 0; run < 5_000; run += 1) {
      const frame = bytes(...encodeAddress(NAME), run % 12, ...randomBytes(random));
      const before = frame.slice();
      toYWebsocket(frame, addressLength(frame), run % 2 === 0);
      expect(frame).toEqual(before);
    }
  });
});

test('[W1] what the server encodes reads as what it means', () => {
  const update = bytes(1, 2);
  expect(decoded(encodeToken(NAME, 'abc'))).toMatchObject({ type: 'token', token: 'abc', address: NAME });
  expect(decoded(encodeSyncStatus(NAME, true))).toMatchObject({ type: 'sync-status', saved: true });
  expect(decoded(encodeSyncStatus(NAME, false))).toMatchObject({ type: 'sync-status', saved: false });
  expect(decoded(encodeAwareness(NAME, update))).toMatchObject({ type: 'awareness', update, address: NAME });
  const denied = encodeFrame('hocuspocus', { type: 'denied', reason: 'forbidden' }, NAME);
  const edit = encodeFrame('hocuspocus', { type: 'update', update }, NAME);
  const start = addressLength(denied);
  expect([readDenied(denied, start), readDenied(edit, start)]).toEqual(['forbidden', null]);
  expect([isUpdate(denied, start), isUpdate(edit, start)]).toEqual([false, true]);
});
