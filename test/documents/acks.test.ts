import { expect, test } from 'vitest';
import { Acks, type Durable } from '../../server/documents/acks.ts';

/** On one instance. */
const upTo = (sequence: number): Durable => ({ sequence, relayed: 0 });

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
  for (const sequence of [1, 2, 5]) acks.owe(upTo(sequence), 0);
  acks.settle(upTo(0));
  expect(sent).toEqual([]);
  acks.settle(upTo(2));
  expect(sent).toEqual([true, true]);
  expect(acks.isEmpty).toBe(false);
  acks.settle(upTo(4));
  expect(sent).toHaveLength(2);
  acks.settle(upTo(5));
  expect(sent).toHaveLength(3);
  expect(acks.isEmpty).toBe(true);
  acks.settle(upTo(9));
  expect(sent).toHaveLength(3);
});

test('[A2] a refusal waits for its turn', () => {
  const { acks, sent } = createAcks();
  acks.owe(upTo(3), 0);
  acks.oweRefusal(0);
  acks.oweRefusal(0);
  acks.owe(upTo(4), 0);
  acks.settle(upTo(2));
  expect(sent).toEqual([]);
  acks.settle(upTo(3));
  expect(sent).toEqual([true, false, false]);
  acks.settle(upTo(4));
  expect(sent).toEqual([true, false, false, true]);
});

test('[A2] frames with the same number are counted, not queued, and each gets its ack', () => {
  const { acks, sent } = createAcks();
  for (let frame = 0; frame < 1000; frame += 1) acks.owe(upTo(7), 0);
  acks.settle(upTo(7));
  expect(sent).toHaveLength(1000);
});

test('[N2] an ack waits for what other instances must commit, too', () => {
  const { acks, sent } = createAcks();
  acks.owe({ sequence: 1, relayed: 2 }, 0);
  acks.owe({ sequence: 1, relayed: 3 }, 0);
  acks.settle({ sequence: 5, relayed: 1 });
  expect(sent).toEqual([]);
  acks.settle({ sequence: 5, relayed: 2 });
  expect(sent).toEqual([true]);
  acks.settle({ sequence: 0, relayed: 3 });
  expect(sent).toEqual([true]);
  acks.settle({ sequence: 1, relayed: 3 });
  expect(sent).toEqual([true, true]);
});

test('[H1] an ack tells how long it took', () => {
  const { acks, latencies } = createAcks();
  acks.owe(upTo(1), performance.now() - 1000);
  acks.settle(upTo(1));
  expect(latencies[0]).toBeGreaterThanOrEqual(1);
});
