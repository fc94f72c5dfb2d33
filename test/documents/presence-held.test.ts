import { Document, type Connection } from '@hocuspocus/server';
import { beforeEach, expect, test, vi } from 'vitest';
import { OpenDocument } from '../../server/documents/open-document.ts';
import type { Speaker } from '../../server/documents/presence.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { encodeStates } from '../helpers/presence.ts';

const PEOPLE = 50;
/** Characters of a state. */
const LONGEST = 100;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['performance', 'setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'],
  });
  atTestEnd(() => vi.useRealTimers());
});

/** A room of people who have introduced themselves with the numbers from 0 on, and of whom everybody has been told. */
function openRoom() {
  const document = new Document('presence/held');
  atTestEnd(() => document.destroy());
  const { presence } = new OpenDocument(document, null, {
    onUpdate() {},
    onPresence() {},
    onEncoded() {},
    limits: { documentBytes: 1e6, pendingBytes: 1e6, presence: { ids: 1, bytes: LONGEST } },
  });
  const refused: number[] = [];
  const people = Array.from({ length: PEOPLE }, (_, id) => {
    const connection = { messageAddress: document.name, send() {} } as unknown as Connection;
    document.addConnection(connection);
    const speaker: Speaker = { connection, user: null, refusePresence: () => void refused.push(id) };
    const says = (clock: number, state: unknown) =>
      presence.receive(speaker, encodeStates([{ id, clock, state }]));
    const leave = () => {
      document.removeConnection(connection);
      presence.release(connection);
    };
    return { says, leave, speaker };
  });
  for (const { says } of people) says(1, { at: 0 });
  vi.advanceTimersByTime(PEOPLE);
  let changes = 0;
  document.awareness.on('update', () => (changes += 1));
  const view = () => Object.fromEntries(document.awareness.getStates());
  return { people, presence, refused, view, changes: () => changes };
}

type Room = ReturnType<typeof openRoom>;
const personOf = ({ people }: Room, index: number) => people[index] as Room['people'][number];

test('[P11] of what people say of themselves while presence waits the last is read, all at once', () => {
  const room = openRoom();
  for (let move = 1; move <= 20; move += 1) for (const { says } of room.people) says(1 + move, { at: move });
  // The first of all found nothing that waits.
  expect(room.changes()).toBe(1);
  vi.advanceTimersByTime(PEOPLE);
  expect(room.changes()).toBe(2);
  expect(new Set(Object.values(room.view()).map((state) => JSON.stringify(state)))).toEqual(
    new Set(['{"at":20}']),
  );
});

test('[P2] who leaves while what they have said waits is gone', () => {
  const room = openRoom();
  const [first, leaving, gone] = [0, 1, 2].map((index) => personOf(room, index));
  first?.says(2, { at: 1 });
  leaving?.says(2, { at: 1 });
  gone?.says(2, { at: 1 });
  leaving?.says(2, null);
  gone?.leave();
  vi.advanceTimersByTime(PEOPLE);
  expect(room.view()[0]).toEqual({ at: 1 });
  expect(room.view()).not.toHaveProperty('1');
  expect(room.view()).not.toHaveProperty('2');
});

test('[P9] what is wrong with it is told when it is read, and that of others is taken', () => {
  const room = openRoom();
  const [first, long, other] = [0, 1, 2].map((index) => personOf(room, index));
  first?.says(2, { at: 1 });
  long?.says(2, 'x'.repeat(LONGEST));
  other?.says(2, { at: 1 });
  expect(room.refused).toEqual([]);
  vi.advanceTimersByTime(PEOPLE);
  expect(room.refused).toEqual([1]);
  expect([room.view()[1], room.view()[2]]).toEqual([{ at: 0 }, { at: 1 }]);
});

test('[P9] what is far too large is refused at once, and not kept', () => {
  const room = openRoom();
  const [first, long] = [0, 1].map((index) => personOf(room, index));
  first?.says(2, { at: 1 });
  expect(() => long?.says(2, 'x'.repeat(LONGEST * 4))).toThrow('LIMIT_PRESENCE_BYTES');
});

test('[P7] a query is answered with what waits', () => {
  const room = openRoom();
  const [first, second] = [0, 1].map((index) => personOf(room, index));
  first?.says(2, { at: 1 });
  second?.says(2, { at: 1 });
  expect(second && room.presence.statesOf(second.speaker.connection)).toEqual([{ at: 1 }]);
});
