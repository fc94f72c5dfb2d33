import { Document, type Connection } from '@hocuspocus/server';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { Acks } from '../../server/documents/acks.ts';
import { ClientEdits, type ClientEditsHub } from '../../server/documents/client-edits.ts';
import { OpenDocument } from '../../server/documents/open-document.ts';
import type { ErrorCode } from '../../server/errors.ts';
import { createLog } from '../../server/log.ts';
import { Metrics } from '../../server/metrics.ts';
import { SyncStep } from '../../server/protocol/frames.ts';
import { applyStored } from '../../server/storage/stored-document.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { textOf, typist } from '../helpers/editor.ts';
import { historyOf, standing } from '../helpers/histories.ts';
import { claimText } from '../helpers/hostile.ts';
import { pickOf, randomOf } from '../helpers/random.ts';
import { throwOnNextApply } from '../helpers/thrown.ts';

/** A document that people can join, as clients do. */
function openRoom(documentBytes = 1e8) {
  const document = new Document('edits/room');
  atTestEnd(() => document.destroy());
  const rows: Uint8Array[] = [];
  const open = new OpenDocument(document, null, {
    onUpdate: (update) => rows.push(update),
    onPresence() {},
    onEncoded() {},
    limits: { documentBytes, pendingBytes: 1e8, presence: { ids: 1, bytes: 1e3 } },
  });
  const join = () => {
    const connection = { messageAddress: document.name, send() {}, readOnly: false } as unknown as Connection;
    document.addConnection(connection);
    const ends: (ErrorCode | 'rebuilt')[] = [];
    const acked: boolean[] = [];
    const acks = new Acks(
      (committed) => acked.push(committed),
      () => {},
    );
    const leave = (code: ErrorCode | 'rebuilt') => {
      ends.push(code);
      document.connections.delete(connection);
    };
    const hub: ClientEditsHub = {
      limits: { update: { structs: 10_000, clients: 100 } },
      log: createLog('silent'),
      metrics: new Metrics(),
      append: (_open, update) => {
        rows.push(update);
        open.countTail(update.byteLength);
      },
      settle: (due) => due.settle({ sequence: Infinity, relayed: Infinity }),
      rebuild: () => leave('rebuilt'),
    };
    const edits = new ClientEdits(hub, { open, connection, user: null, acks, end: leave, takeAway: leave });
    return { ends, acked, edits };
  };
  return { document, rows, join };
}

/** Somebody who edits a document, and what became of it. */
function joinAlone(documentBytes?: number) {
  const { document, rows, join } = openRoom(documentBytes);
  return { document, rows, ...join() };
}

/** A document that has read these rows, and nothing else. */
function replay(rows: readonly Uint8Array[]): Y.Doc {
  const doc = new Y.Doc();
  applyStored(doc, { snapshot: null, tail: rows.map((update, index) => ({ id: `${index}`, update })) });
  return doc;
}

function sendAll(edits: ClientEdits, updates: readonly Uint8Array[]): void {
  for (const update of updates) edits.receive(SyncStep.Update, update);
  edits.apply();
}

test('[A10] what one read brings is one row, and each update has its ack', () => {
  const { document, rows, acked, edits } = joinAlone();
  const typed = typist();
  const letters = 'together'.split('');
  sendAll(
    edits,
    letters.map((letter) => typed(letter)),
  );
  expect(textOf(document)).toBe('together');
  expect(rows).toHaveLength(1);
  expect(textOf(replay(rows))).toBe('together');
  expect(acked).toEqual(letters.map(() => true));
});

test('[A10] it is applied when the read is over, without being asked for', async () => {
  const { document, rows, edits } = joinAlone();
  const typed = typist();
  for (const letter of 'ab') edits.receive(SyncStep.Update, typed(letter));
  expect(rows).toEqual([]);
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect([textOf(document), rows.length]).toEqual(['ab', 1]);
});

test('[A10] whatever comes in one read, the document, what replaying the log gives, and acks are those of one by one', () => {
  let [together, alone] = [0, 0];
  for (let seed = 0; seed < 40; seed += 1) {
    const pick = pickOf(randomOf(seed));
    // Some overtake others, come twice, or never; some speak in the name of others.
    const updates = historyOf(seed).flatMap((update) =>
      pick(150) === 0 ? [] : pick(15) === 0 ? [update, update] : [update],
    );
    for (let swaps = 0; swaps < pick(3); swaps += 1) updates.push(...updates.splice(pick(updates.length), 1));
    updates.splice(pick(updates.length), 0, claimText(1 + pick(4), pick(100), 'claimed'));
    const [one, many] = [joinAlone(), joinAlone()];
    for (const update of updates) sendAll(one.edits, [update]);
    for (let next = 0; next < updates.length;) {
      const count = 1 + pick(40);
      sendAll(many.edits, updates.slice(next, next + count));
      next += count;
    }
    expect(many.ends, `seed ${seed}`).toEqual([]);
    expect(standing(many.document), `seed ${seed}`).toEqual(standing(one.document));
    expect(standing(replay(many.rows)), `seed ${seed}`).toEqual(standing(replay(one.rows)));
    expect(many.acked, `seed ${seed}`).toEqual(updates.map(() => true));
    together += many.rows.length;
    alone += one.rows.length;
  }
  expect(together).toBeLessThan(alone * 0.75);
});

test('[A10] of one that is refused, or throws, those before it are applied and logged, and none after it', () => {
  const typed = typist();
  const [first, second, third] = [typed('a'), typed('b'), typed('c')];
  const refused = joinAlone();
  sendAll(refused.edits, [first, second, new Uint8Array([1, 2, 3]), third]);
  expect(refused.ends).toEqual(['bad_update']);
  expect(textOf(replay(refused.rows))).toBe('ab');
  expect(refused.acked).toEqual([true, true]);

  const thrown = joinAlone();
  throwOnNextApply();
  sendAll(thrown.edits, [first, second, third]);
  expect(thrown.ends).toEqual(['bad_update', 'rebuilt']);
  expect(textOf(replay(thrown.rows))).toBe('ab');
  expect(thrown.acked).toEqual([]);
});

test('[A10] once an edit has thrown nobody else is acknowledged for what is in memory only, nor is anything of theirs logged', async () => {
  const { rows, join } = openRoom();
  const [first, second] = [join(), join()];
  const update = typist()('a');
  throwOnNextApply();
  // As two connections of one socket do, or many sockets that are read again at the same time.
  for (const { edits } of [first, second]) edits.receive(SyncStep.Update, update);
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(first.ends).toEqual(['bad_update', 'rebuilt']);
  expect([second.ends, second.acked, rows]).toEqual([[], [], []]);
});

test('[A10] a document grows no further beyond its limit by what comes together than by what comes alone', () => {
  const [limit, size, count] = [500_000, 20_000, 60];
  const many = joinAlone(limit);
  const typed = typist();
  sendAll(
    many.edits,
    Array.from({ length: count }, () => typed('x'.repeat(size))),
  );
  expect(many.ends).toEqual(['document_too_large']);
  expect(textOf(many.document).length).toBeGreaterThan(limit - 6 * size);
  expect(textOf(many.document).length).toBeLessThan(limit + 6 * size);
  expect(Math.max(...many.rows.map(({ byteLength }) => byteLength))).toBeLessThan(100_000);
});
