import { expect, test } from 'vitest';
import { type Message, decodeMessage, encodeMessage } from '../../server/cluster/messages.ts';

const BYTES = Uint8Array.from([0, 1, 255]);
const LARGE = 2 ** 52;

const MESSAGES: Message[] = [
  {
    kind: 'updates',
    document: 'notes/☃',
    count: 1,
    life: 'system/00000001.2',
    sequence: LARGE,
    committed: 3,
    sentAt: Date.now(),
    update: BYTES,
    attribution: '{}',
  },
  { kind: 'question', document: 'a', count: 0, id: 7, purpose: 2, stateVector: new Uint8Array([0]) },
  {
    kind: 'answer',
    document: 'a',
    count: 4,
    id: 7,
    life: '.0',
    sequence: 5,
    committed: 5,
    update: BYTES,
    presence: BYTES,
    pending: '[]',
  },
  { kind: 'pass', document: 'a', count: 2, id: 3 },
  { kind: 'presence', document: 'a', presence: new Uint8Array() },
  { kind: 'committed', life: '.1', sequence: 9, beat: 10 },
  { kind: 'damaged', document: 'a' },
  { kind: 'missed', document: 'a' },
  { kind: 'stored', document: 'a' },
  { kind: 'revoked' },
  { kind: 'disconnect', document: '', user: 'alice' },
  { kind: 'left' },
];

test.for(MESSAGES)('[N12] a message is read as it was written: $kind', (message) => {
  const bytes = encodeMessage('instance', message);
  expect(decodeMessage(bytes, 'reader')).toEqual({ ...message, instance: 'instance' });
  for (let length = 0; length < bytes.length; length += 1)
    expect(() => decodeMessage(bytes.subarray(0, length), 'reader')).toThrow(
      /array|byte|char|unexpected|range/i,
    );
});

test('[N12] one of no known kind is refused, and what is read is a copy', () => {
  const bytes = encodeMessage('i', { kind: 'presence', document: 'a', presence: BYTES });
  const message = decodeMessage(bytes, 'reader');
  bytes.fill(0, -BYTES.length);
  expect(message).toMatchObject({ presence: BYTES });
  const [, ...rest] = encodeMessage('i', { kind: 'left' });
  expect(() => decodeMessage(Uint8Array.from([1, ...rest.slice(0, 1), 99]), 'reader')).toThrow('kind 99');
});

test('[N12] of what an instance has said itself it reads heartbeats only', () => {
  const heard = MESSAGES.map((message) => decodeMessage(encodeMessage('instance', message), 'instance'));
  expect(heard.flatMap((message) => message?.kind ?? [])).toEqual(['committed']);
});
