import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import type { Document } from '../../server/documents/host.ts';
import { StateAnswers } from '../../server/documents/state-answers.ts';
import { Turns } from '../../server/documents/turns.ts';
import { typist, updateOf } from '../helpers/editor.ts';
import { decodeFrame, type Received } from '../helpers/frames.ts';

const NOTHING = Y.encodeStateVector(new Y.Doc());
/** Encoded again after a second. */
const LARGE = 6_000_000;
const PAUSE_MS = 1_000;

beforeEach(() => vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

function open(size: number, stored: Uint8Array | null = null) {
  const onEncoded = vi.fn<() => void>();
  const doc = Object.assign(new Y.Doc(), { name: 'notes' });
  doc.getText('content').insert(0, 'x'.repeat(size));
  const answers = new StateAnswers(doc as unknown as Document, { stored, onEncoded });
  const ask = () => answers.ask(NOTHING);
  return { doc, answers, ask, onEncoded, edit: () => doc.getText('content').insert(0, '.') };
}

/** What somebody has typed after something else. */
function laterOf(first: string, later: string): Uint8Array {
  const type = typist();
  type(first);
  return type(later);
}

test('[Q7] a document that has changed is not encoded again while its answers leave, for a time', () => {
  const { answers, ask, edit } = open(LARGE);
  const [first, second] = [ask(), ask()];
  const frame = answers.frame('notes', first);
  edit();
  const later = [ask(), ask()] as const;
  // Whoever had asked by then shares it.
  expect(answers.isReady(second)).toBe(true);
  expect(answers.frame('notes', second)).toBe(frame);
  expect(answers.isReady(later[0])).toBe(false);
  vi.advanceTimersByTime(PAUSE_MS - 1);
  expect(answers.isReady(later[0])).toBe(false);
  vi.advanceTimersByTime(1);
  expect(answers.isReady(later[0])).toBe(true);
  const next = answers.frame('notes', later[0]);
  expect(next).not.toBe(frame);
  expect(answers.frame('notes', later[1])).toBe(next);
});

test('[Q7] it is when they have left, and a small one soon', () => {
  const { answers, ask, edit } = open(LARGE);
  const first = ask();
  answers.frame('notes', first);
  edit();
  const later = ask();
  expect(answers.isReady(later)).toBe(false);
  answers.left();
  expect(answers.isReady(later)).toBe(true);

  const small = open(LARGE / 100);
  small.answers.frame('notes', small.ask());
  small.edit();
  const question = small.ask();
  vi.advanceTimersByTime(PAUSE_MS / 50);
  expect(small.answers.isReady(question)).toBe(true);
});

test('[Q7] what waits for missing edits is in the answer, also to a question that was answered before it came', () => {
  const { doc, answers, ask } = open(1);
  answers.frame('notes', ask());
  Y.applyUpdate(doc, laterOf('missing', 'waits'));
  const frame = answers.frame('notes', ask());
  expect(Buffer.from(frame).includes('waits')).toBe(true);
  expect(answers.frame('notes', ask())).toBe(frame);
});

test('[Q7] who has nothing is sent what was stored, as it is, if they are the first to ask and nothing has changed', () => {
  // Another one than the document's, to be told from it.
  const stored = updateOf('stored');
  const isStored = (of: Pick<ReturnType<typeof open>, 'answers' | 'ask'>, question = of.ask()) =>
    Buffer.from(of.answers.frame('notes', question)).includes('stored');
  const asked = open(1, stored);
  expect([isStored(asked), isStored(asked)]).toEqual([true, true]);
  asked.edit();
  expect(isStored(asked)).toBe(false);

  const edited = open(1, stored);
  edited.edit();
  expect(isStored(edited)).toBe(false);
  const waited = open(1, stored);
  Y.applyUpdate(waited.doc, laterOf('missing', 'waits'));
  expect(isStored(waited)).toBe(false);
  const known = open(1, stored);
  expect(isStored(known, known.answers.ask(Y.encodeStateVector(known.doc)))).toBe(false);
  expect(isStored(known)).toBe(false);
  const late = open(1, stored);
  vi.advanceTimersByTime(5_000);
  expect(isStored(late)).toBe(false);
});

test('[Q7] who is not ready holds up nobody, and is served when they are', () => {
  const turns = new Turns();
  const sent: string[] = [];
  let isReady = false;
  const work = (name: string, ready: () => boolean) => ({
    isReady: ready,
    send: () => sent.push(name),
  });
  turns.take(work('slow', () => isReady));
  turns.take(work('other', () => true));
  expect(sent).toEqual(['other']);
  vi.advanceTimersByTime(PAUSE_MS);
  expect(sent).toEqual(['other']);
  isReady = true;
  vi.advanceTimersByTime(20);
  expect(sent).toEqual(['other', 'slow']);

  isReady = false;
  vi.advanceTimersByTime(PAUSE_MS);
  turns.take(work('slow again', () => isReady));
  isReady = true;
  turns.wake();
  expect(sent).toEqual(['other', 'slow', 'slow again']);
});

test('[Q10] one of many structs is encoded beside other work, once for all who have asked', async () => {
  const { doc, answers, ask, edit, onEncoded } = open(1);
  for (let struct = 0; struct < 25_000; struct += 1) doc.getText('content').insert(0, 'x');
  const [first, second] = [ask(), ask()];
  expect([answers.isReady(first), answers.isReady(second)]).toEqual([false, false]);
  edit();
  const later = ask();
  await vi.waitUntil(() => answers.isReady(first));
  expect(onEncoded).toHaveBeenCalledTimes(1);
  const frame = answers.frame('notes', first);
  expect(answers.frame('notes', second)).toBe(frame);
  expect(answers.isReady(later)).toBe(false);
  for (let sent = 0; sent < 2; sent += 1) answers.left();
  await vi.waitUntil(() => answers.isReady(later));
  const { update } = decodeFrame('hocuspocus', answers.frame('notes', later)) as Received<'step2'>;
  expect(Y.encodeStateVectorFromUpdate(update)).toEqual(Y.encodeStateVector(doc));
});
