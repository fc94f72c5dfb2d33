import { expect, test } from 'vitest';
import { Rooms } from '../../server/cluster/rooms.ts';

function roomsWith(...documents: string[]): Rooms {
  const rooms = new Rooms();
  for (const document of documents) {
    rooms.add(document, Promise.resolve());
    rooms.opened(document);
  }
  return rooms;
}

test('[N6] a message is missed when its number is not the next one', () => {
  const rooms = roomsWith('a', 'b');
  rooms.isWhole('a', 'other', 3);
  expect([4, 5, 5, 7, 8].map((count) => rooms.hasMissed('a', 'other', count))).toEqual([
    false,
    false,
    // It has come before, on another way.
    false,
    true,
    false,
  ]);
  expect(rooms.isBehind('a', 'other', 8)).toBe(false);
  expect(rooms.isBehind('a', 'other', 9)).toBe(true);
  expect(rooms.isBehind('a', 'other', 9)).toBe(false);
  // Of whom nothing was heard, what came before is missing; each document has its own.
  expect(rooms.hasMissed('b', 'other', 1)).toBe(true);
  expect(rooms.hasMissed('not open', 'other', 1)).toBe(false);
});

test('[N6] what comes of a document before it is open is not taken for known', () => {
  const rooms = new Rooms();
  rooms.add('a', Promise.resolve());
  expect(rooms.hasMissed('a', 'other', 1)).toBe(false);
  expect(rooms.isBehind('a', 'other', 1)).toBe(false);
  // Who opens it has said nothing of it before.
  rooms.isWhole('a', 'joining', 5);
  rooms.opened('a');
  expect(rooms.isBehind('a', 'other', 1)).toBe(true);
  expect(rooms.hasMissed('a', 'joining', 6)).toBe(false);
});

test('[N6] who opens a document again goes on counting above what others have heard', () => {
  const [rooms, others] = [roomsWith('a', 'b'), roomsWith('a')];
  others.isWhole('a', 'this', rooms.count('a'));
  const hear = () => others.hasMissed('a', 'this', rooms.countOne('a', 1));
  expect([hear(), hear()]).toEqual([false, false]);
  rooms.countOne('b', 1);
  rooms.delete('a');
  rooms.add('a', Promise.resolve());
  others.isWhole('a', 'this', rooms.count('a'));
  expect(hear()).toBe(false);
  rooms.countOne('a', 1);
  expect(hear()).toBe(true);
});

test('[N6] an instance that is gone is begun with anew', () => {
  const rooms = roomsWith('a');
  rooms.isWhole('a', 'other', 5);
  rooms.forget('other');
  expect(rooms.hasMissed('a', 'other', 6)).toBe(true);
});
