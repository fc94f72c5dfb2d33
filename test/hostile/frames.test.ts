import { beforeAll, describe, expect, test } from 'vitest';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { type Editor, type Protocol, PROTOCOLS, joinAs, updateOf } from '../helpers/editor.ts';
import { encodeFrame } from '../helpers/frames.ts';
import { type Closed, rawHocuspocus } from '../helpers/raw-client.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';

const ROOM = 'hostile/frames';
const MB = 1024 * 1024;
const SYNC = 0;
const BROADCAST_STATELESS = 6;

const BAD_FRAME: Closed = { code: 4400, reason: 'bad_frame' };
const TOO_LARGE: Closed = { code: 4413, reason: 'frame_too_large' };

interface Kind {
  name: string;
  send: (attacker: Editor, protocol: Protocol) => void;
  /** How the attacker's socket is closed, unless the frame is ignored. */
  outcome: Closed | 'ignored';
}

/** A message of any type, with any bytes after it. */
const message =
  (code: number, ...body: number[]): Kind['send'] =>
  ({ client }) =>
    client.send({ type: 'unknown', code, body: new Uint8Array(body) }, ROOM);

/** A message in pieces, as the WebSocket protocol allows. */
const inPieces =
  (count: number, bytes: number): Kind['send'] =>
  ({ client: { socket } }) => {
    const piece = new Uint8Array(bytes);
    for (let left = count; left > 0; left -= 1) socket.send(piece, { fin: left === 1 });
  };

/** An ordinary edit without its last bytes. */
const cutShort =
  (keep: (length: number) => number): Kind['send'] =>
  ({ client }, protocol) => {
    const whole = encodeFrame(protocol, { type: 'update', update: updateOf('hello') }, ROOM);
    client.sendBytes(whole.subarray(0, keep(whole.length)));
  };

const KINDS: Kind[] = [
  { name: 'of text', send: ({ client }) => client.socket.send('hello'), outcome: BAD_FRAME },
  { name: 'of nothing', send: ({ client }) => client.sendBytes(new Uint8Array()), outcome: BAD_FRAME },
  { name: 'cut short', send: cutShort((length) => length - 1), outcome: BAD_FRAME },
  { name: 'cut short after one byte', send: cutShort(() => 1), outcome: BAD_FRAME },
  { name: 'of an unknown type', send: message(200, 1, 2, 3), outcome: 'ignored' },
  { name: 'with a stateless broadcast', send: message(BROADCAST_STATELESS, 1, 65), outcome: 'ignored' },
  { name: 'of an unknown step', send: message(SYNC, 9, 0), outcome: BAD_FRAME },
  { name: 'with a truncated varint', send: message(SYNC, 0x80), outcome: BAD_FRAME },
  {
    name: 'with a number that does not end',
    send: message(SYNC, ...Array<number>(20).fill(0xff)),
    outcome: BAD_FRAME,
  },
  {
    name: 'that promises a gigabyte',
    send: message(SYNC, 2, 0x80, 0x80, 0x80, 0x80, 0x04),
    outcome: BAD_FRAME,
  },
  {
    name: 'with a state vector that does not decode',
    send: message(SYNC, 0, 2, 1, 2),
    outcome: BAD_FRAME,
  },
  {
    name: 'with a state vector that promises millions',
    send: message(SYNC, 0, 5, 0x80, 0x80, 0x80, 0x80, 0x04),
    outcome: BAD_FRAME,
  },
  { name: 'with a token that is cut short', send: message(2, 0, 9, 65), outcome: BAD_FRAME },
  { name: 'of 100 MB', send: ({ client }) => client.sendBytes(new Uint8Array(100 * MB)), outcome: TOO_LARGE },
  { name: 'of 100 MB in pieces of one', send: inPieces(100, MB), outcome: TOO_LARGE },
  { name: 'in 20,000 pieces', send: inPieces(20_000, 1), outcome: { code: 1008, reason: '' } },
];

/** Frames are handled in their order: whoever gets an answer has been ignored before. */
async function answered(attacker: Editor): Promise<'ignored'> {
  await attacker.ask();
  return 'ignored';
}

describe.each(PROTOCOLS)('a frame over %s', (protocol) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await setScene(ROOM);
  });

  test.each(KINDS)('[X1] $name', async ({ send, outcome }) => {
    const attacker = await joinAs(protocol, scene.url, ROOM);
    await attacker.ask();
    send(attacker, protocol);
    expect(await (outcome === 'ignored' ? answered(attacker) : attacker.client.closed())).toEqual(outcome);
    expect(attacker.acks()).toEqual([]);
    await scene.isUnharmed();
  });
});

describe('frames for a document that a Hocuspocus client has shown no token for', () => {
  const OTHER = 'hostile/unasked';
  const update = { type: 'update', update: updateOf('x'.repeat(100_000)) } as const;
  const step1 = { type: 'step1', stateVector: new Uint8Array([0]) } as const;
  let scene: Scene;
  beforeAll(async () => {
    scene = await setScene(ROOM, { limitWaitingBytes: MB });
  });

  test.each([
    ['edits', 5, update],
    ['questions', 500, step1],
  ])('[X1] a few %s wait, unanswered', async (_what, count, frame) => {
    const attacker = await joinAs('hocuspocus', scene.url, ROOM);
    for (let left = count; left > 0; left -= 1) attacker.client.send(frame, OTHER);
    await attacker.ask();
    const answers = attacker.client.frames.filter(({ address }) => address === OTHER);
    expect(answers).toEqual([]);
    expect(await rebuild(await openStorage(scene.storage), OTHER)).toBeNull();
    await scene.isUnharmed();
  });

  test.each([
    ['more edits than may wait', 20, () => OTHER, update],
    ['more questions than may wait', 5_000, () => OTHER, step1],
    ['questions about more documents than may wait', 5_000, (index: number) => `${OTHER}/${index}`, step1],
  ])('[X1] %s close the socket', async (_what, count, nameOf, frame) => {
    const attacker = await rawHocuspocus(scene.url);
    for (let index = 0; index < count; index += 1) attacker.send(frame, nameOf(index));
    expect(await attacker.closed()).toEqual({ code: 1013, reason: 'too_many_waiting' });
    expect(attacker.frames).toEqual([]);
    await scene.isUnharmed();
  });
});
