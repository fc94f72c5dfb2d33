import { expect, test } from 'vitest';
import { PendingEdits, type PendingEdit } from '../../server/documents/pending-edits.ts';

/** What is committed up to a number of the log. */
const upTo = (sequence: number) => ({ sequence, relayed: 0 });

function editOf(key: string, sequence: number): PendingEdit {
  const answer = { status: 204, headers: {}, body: null };
  const record = { user: 'anna', key, attempt: key, fingerprint: key, answer };
  return { author: 'anna', record, update: new Uint8Array(), due: upTo(sequence) };
}

test('[U8] an edit is pending until it is committed, for who asks with its key', () => {
  const pending = new PendingEdits();
  const [first, second] = [editOf('a', 1), editOf('b', 2)];
  pending.add(first);
  pending.add(second);
  pending.add({ ...first, record: null });
  expect(pending.all(upTo(0))).toEqual([first, second]);
  expect(pending.has({ user: 'anna', key: 'a' }, upTo(0))).toBe(true);
  expect(pending.has({ user: 'bob', key: 'a' }, upTo(0))).toBe(false);
  expect(pending.has({ user: 'anna', key: 'a' }, upTo(1))).toBe(false);
  expect(pending.all(upTo(1))).toEqual([second]);
  expect(pending.all(upTo(2))).toEqual([]);
});

test('[U8] the oldest of very many are forgotten', () => {
  const pending = new PendingEdits();
  for (let edit = 0; edit < 1_001; edit += 1) pending.add(editOf(`${edit}`, 1));
  expect(pending.all(upTo(0)).map(({ record }) => record?.key)).toEqual(
    Array.from({ length: 1_000 }, (_, edit) => `${edit + 1}`),
  );
});
