import { expect, test } from 'vitest';
import { RelayedUpdates } from '../../server/documents/relayed-updates.ts';

const UPDATE = new Uint8Array([1]);

function received(...sources: [log: string, sequence: number][]): RelayedUpdates {
  const relayed = new RelayedUpdates();
  for (const [log, sequence] of sources) relayed.add({ log, sequence }, UPDATE);
  return relayed;
}

test('[N2] an update of another instance is durable when its log has committed it', () => {
  const relayed = received(['a', 7], ['a', 9]);
  expect([relayed.received, relayed.durable]).toEqual([2, 0]);
  relayed.confirm({ log: 'a', sequence: 8 });
  expect(relayed.durable).toBe(1);
  relayed.confirm({ log: 'a', sequence: 9 });
  expect([relayed.durable, relayed.isEmpty]).toEqual([2, true]);
});

test('[N2] a number of one log says nothing of another', () => {
  const relayed = received(['a', 1], ['b', 1]);
  relayed.confirm({ log: 'b', sequence: 5 });
  // Those before it are not.
  expect(relayed.durable).toBe(0);
  relayed.confirm({ log: 'a', sequence: 1 });
  expect(relayed.durable).toBe(2);
});

test('[N3] one that nobody confirms is taken over once, and durable when this instance has committed it', () => {
  const relayed = received(['dead', 1], ['dead', 2]);
  const appended: Uint8Array[] = [];
  const append = (update: Uint8Array) => 40 + appended.push(update);
  relayed.takeOver(-Infinity, append);
  expect(appended).toEqual([]);
  relayed.takeOver(performance.now(), append);
  relayed.takeOver(performance.now(), append);
  expect(appended).toEqual([UPDATE, UPDATE]);
  relayed.committed(41);
  expect(relayed.durable).toBe(1);
  relayed.committed(42);
  expect(relayed.durable).toBe(2);
});
