import { expect, test } from 'vitest';
import {
  PendingEdits,
  decodePending,
  encodePending,
  type PendingEdit,
} from '../../server/documents/pending-edits.ts';

const MB = 1024 * 1024;
/** What is committed up to a number of the log. */
const upTo = (sequence: number) => ({ sequence, relayed: 0 });
const anna = (key: string) => ({ user: 'anna', key });

function editOf(key: string, sequence: number, bytes = 1): PendingEdit {
  const answer = { status: 204, headers: {}, body: null };
  const record = { ...anna(key), attempt: key, fingerprint: key, answer };
  return { author: 'anna', record, update: new Uint8Array(bytes), due: upTo(sequence) };
}

/** Comparing a MB byte by byte takes long. */
const inShort = ({ update, author, record }: Omit<PendingEdit, 'due'>) => [update.byteLength, author, record];

test('[U8] an edit is pending until it is committed, for who asks with its key', () => {
  const pending = new PendingEdits();
  const [first, second] = [editOf('a', 1), editOf('b', 2)];
  pending.add(first);
  pending.add(second);
  expect(pending.all()).toEqual([first, second]);
  expect([pending.has(anna('a')), pending.has({ user: 'bob', key: 'a' })]).toEqual([true, false]);
  pending.committed(upTo(1));
  expect([pending.has(anna('a')), pending.all()]).toEqual([false, [second]]);
  pending.committed(upTo(2));
  expect(pending.isEmpty).toBe(true);
});

test('[U8] who is trying a request hears of another attempt at it', () => {
  const pending = new PendingEdits();
  const trial = pending.trying(anna('a'));
  pending.add(editOf('b', 1));
  expect(trial.elsewhere).toBeUndefined();
  pending.add(editOf('a', 7));
  expect(trial.elsewhere).toEqual(upTo(7));
  const over = pending.trying(anna('c'));
  pending.tried(anna('c'));
  pending.add(editOf('c', 8));
  expect(over.elsewhere).toBeUndefined();
});

test('[U8] the oldest of very many are forgotten, and others are told of the first MB', () => {
  const pending = new PendingEdits();
  for (let edit = 0; edit < 1_001; edit += 1) pending.add(editOf(`${edit}`, 1));
  expect(pending.all().map(({ record }) => record.key)).toEqual(
    Array.from({ length: 1_000 }, (_, edit) => `${edit + 1}`),
  );
  const [small, large, more] = [editOf('a', 1), editOf('b', 2, MB - 1), editOf('c', 3)];
  const told = decodePending(encodePending([small, large, more]));
  expect(told.map(inShort)).toEqual([small, large].map(inShort));
  expect([encodePending([]), decodePending('')]).toEqual(['', []]);
});
