import * as Y from 'yjs';
import { pickOf, randomOf } from '../helpers/random.ts';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

/** The root type that the load types into. */
export const TEXT = 'content';

/** What a document holds before the load types into it: the updates of which it comes. */
const DOCUMENTS = {
  empty: () => [],
  large: prunedDocument,
  article: () => textDocument(311_000),
  book: () => textDocument(20_000_000),
  paper: () => typedDocument('automerge-paper', TAIL),
  page: () => typedDocument('a shorter one', 500),
} as const satisfies Record<string, () => Uint8Array[]>;
export type DocumentKind = keyof typeof DOCUMENTS;

export interface Content {
  updates: readonly Uint8Array[];
  /** All of them as one. */
  state: Uint8Array;
  /** How much of each client is in it. */
  clocks: ReadonlyMap<number, number>;
}

export function contentOf(kind: DocumentKind): Content {
  const updates = DOCUMENTS[kind]();
  const state = updates.length === 1 && updates[0] ? updates[0] : Y.mergeUpdates(updates);
  return { updates, state, clocks: Y.decodeStateVector(Y.encodeStateVectorFromUpdate(state)) };
}

/** Ids of clients are written in as many bytes as they need; most are as large. */
const AUTHOR = 2 ** 31 - 1;

const DELETIONS = 20_000;

const PARAGRAPH = 300;
const LETTERS = 'etaoinshrdlucmfwyp ';
/** The largest frame that servers read by default is larger. */
const UPDATE_BYTES = 1_000_000;

/** So many edits at the end of a long history are an update each; what was before is one. */
const TAIL = 10_000;

function newDocument(): { doc: Y.Doc; text: Y.Text } {
  const doc = new Y.Doc();
  doc.clientID = AUTHOR;
  return { doc, text: doc.getText(TEXT) };
}

/** 475 KB as an update, 72 KB of which are 20,000 deletions of one character each, which no state vector shows. */
function prunedDocument(): Uint8Array[] {
  const { doc, text } = newDocument();
  text.insert(0, 'xx'.repeat(DELETIONS));
  doc.transact(() => {
    for (let index = DELETIONS - 1; index >= 0; index -= 1) text.delete(index * 2, 1);
  });
  return [Y.encodeStateAsUpdate(doc)];
}

/** Paragraphs, inserted here and there, of letters at random: what Postgres cannot compress away. */
function textDocument(bytes: number): Uint8Array[] {
  const { doc, text } = newDocument();
  const pick = pickOf(randomOf(1));
  const paragraph = () => Array.from({ length: PARAGRAPH }, () => LETTERS[pick(LETTERS.length)]).join('');
  const updates: Uint8Array[] = [];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  while (text.length < bytes) {
    const end = Math.min(bytes, text.length + UPDATE_BYTES);
    doc.transact(() => {
      while (text.length < end) text.insert(pick(text.length + 1), paragraph());
    });
  }
  return updates;
}

/** A text as it was typed: the paper in 260,000 edits. */
function typedDocument(name: string, tail: number): Uint8Array[] {
  const { doc, text } = newDocument();
  const { txns } = readTrace(name);
  for (const edit of txns.slice(0, -tail)) typeTransaction(text, edit);
  const updates = [Y.encodeStateAsUpdate(doc)];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  for (const edit of txns.slice(-tail)) typeTransaction(text, edit);
  return updates;
}
