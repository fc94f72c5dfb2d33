import { expect, test } from 'vitest';
import { Acks } from '../../server/documents/acks.ts';

function createAcks() {
  const sent: boolean[] = [];
  const latencies: number[] = [];
  const acks = new Acks(
    (committed) => sent.push(committed),
    (seconds) => latencies.push(seconds),
  );
  return { acks, sent, latencies };
}

test('[A2] each frame gets one ack, as far as the log has committed', () => {
  const { acks, sent } = createAcks();
  for (const sequence of [1, 2, 5]) acks.owe(sequence, 0);
  acks.settle(0);
  expect(sent).toEqual([]);
  acks.settle(2);
  expect(sent).toEqual([true, true]);
  expect(acks.isEmpty).toBe(false);
  acks.settle(4);
  expect(sent).toHaveLength(2);
  acks.settle(5);
  expect(sent).toHaveLength(3);
  expect(acks.isEmpty).toBe(true);
  acks.settle(9);
  expect(sent).toHaveLength(3);
});

test('[A2] a refusal waits for its turn', () => {
  const { acks, sent } = createAcks();
  acks.owe(3, 0);
  acks.oweRefusal(0);
  acks.oweRefusal(0);
  acks.owe(4, 0);
  acks.settle(2);
  expect(sent).toEqual([]);
  acks.settle(3);
  expect(sent).toEqual([true, false, false]);
  acks.settle(4);
  expect(sent).toEqual([true, false, false, true]);
});

test('[A2] frames with the same number are counted, not queued, and each gets its ack', () => {
  const { acks, sent } = createAcks();
  for (let frame = 0; frame < 1000; frame += 1) acks.owe(7, 0);
  acks.settle(7);
  expect(sent).toHaveLength(1000);
});

test('[H1] an ack tells how long it took', () => {
  const { acks, latencies } = createAcks();
  acks.owe(1, performance.now() - 1000);
  acks.settle(1);
  expect(latencies[0]).toBeGreaterThanOrEqual(1);
});
