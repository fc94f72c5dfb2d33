import { Document, type Connection } from '@hocuspocus/server';
import { afterEach, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { OpenDocument } from '../../server/documents/open-document.ts';
import { checkUpdate } from '../../server/documents/update-check.ts';
import { applyStored } from '../../server/storage/stored-document.ts';
import { textOf, typist } from '../helpers/editor.ts';
import { claimText } from '../helpers/hostile.ts';

const documents: Document[] = [];
afterEach(() => {
  for (const document of documents.splice(0)) document.destroy();
});

function open(): OpenDocument {
  const document = new Document('notes/today');
  documents.push(document);
  return new OpenDocument(document, null, {
    onUpdate: () => {
      throw new Error('only what does not come through apply');
    },
    onPresence() {},
    onEncoded() {},
    limits: { documentBytes: 1e6, pendingBytes: 1e6, presence: { ids: 1, bytes: 1e3 } },
  });
}

/** Takes an update as a connection does. */
function apply(opened: OpenDocument, update: Uint8Array): Uint8Array | null {
  const shape = checkUpdate(update, { structs: 10_000, clients: 100 });
  return opened.apply(opened.weigh(update, shape), { source: 'test' });
}

/** What a document is that has read these rows of the log, and nothing else. */
function replay(rows: (Uint8Array | null)[]): string {
  const doc = new Y.Doc();
  for (const row of rows) if (row !== null) Y.applyUpdate(doc, row);
  return textOf(doc);
}

describe('the bytes that the log needs', () => {
  test('[A1] of an edit, so that replaying them gives the document', () => {
    const [opened, typed] = [open(), typist()];
    const rows = ['a', 'b', 'c'].map((text) => apply(opened, typed(text)));
    expect(replay(rows)).toBe('abc');
  });

  test('[S15] of what is known in part and builds on what is missing, where something else waits for its clocks', () => {
    const [anna, ben, cleo] = [typist(1), typist(2), typist(3)];
    const [known, word] = [anna('abc'), cleo('Cleo')];
    // The first builds on a word of Ben's, a later one on Cleo's, neither of which comes.
    const edits = Y.mergeUpdates([
      typist(1, ben('Ben'))('a'),
      claimText(1, 1, 'bcd'),
      typist(1, known, claimText(1, 3, 'd'), word)('e'),
      claimText(1, 5, 'fgh'),
    ]);
    const opened = open();
    const rows = [known, claimText(1, 4, 'YZ'), edits].map((update) => apply(opened, update));
    const loaded = new Y.Doc();
    const tail = rows.map((update, index) => ({ id: `${index}`, update: update as Uint8Array }));
    applyStored(loaded, { snapshot: null, tail });
    expect(textOf(loaded)).toBe(textOf(opened.document));
    expect(Y.encodeStateAsUpdate(loaded)).toEqual(Y.encodeStateAsUpdate(opened.document));
  });

  test('[A4] of what brings nothing new: none', () => {
    const [opened, typed] = [open(), typist()];
    const update = typed('a');
    apply(opened, update);
    expect(apply(opened, update)).toBeNull();
    expect(apply(opened, Y.encodeStateAsUpdate(opened.document))).toBeNull();
    expect(apply(opened, Y.encodeStateAsUpdate(new Y.Doc()))).toBeNull();
  });

  test('[A4] of a large answer with little new in it: the little', () => {
    const [opened, typed] = [open(), typist()];
    apply(opened, typed('x'.repeat(100_000)));
    const doc = new Y.Doc();
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(opened.document));
    doc.getText('content').insert(0, 'new');
    const row = apply(opened, Y.encodeStateAsUpdate(doc));
    expect(row?.byteLength).toBeLessThan(100);
  });

  test('[A5] of an update whose predecessors are missing: its own', () => {
    const [opened, typed] = [open(), typist()];
    const [first, second, third] = [typed('a'), typed('b'), typed('c')];
    const rows = [apply(opened, third), apply(opened, second)];
    expect(rows).toEqual([third, second]);
    rows.push(apply(opened, first));
    expect(textOf(opened.document)).toBe('abc');
    expect(replay(rows)).toBe('abc');
    expect(replay(rows.toReversed())).toBe('abc');
  });

  test('[A5] of a deletion whose text is missing: its own', () => {
    const doc = new Y.Doc();
    const content = doc.getText('content');
    content.insert(0, 'abc');
    const typed = Y.encodeStateAsUpdate(doc);
    const before = Y.encodeStateVector(doc);
    content.delete(1, 1);
    const deletion = Y.encodeStateAsUpdate(doc, before);

    const opened = open();
    const rows = [apply(opened, deletion), apply(opened, typed)];
    expect(rows[0]).toEqual(deletion);
    expect(textOf(opened.document)).toBe('ac');
    expect(replay(rows)).toBe('ac');
  });

  test('[A4] of a repeat of an update that waits for its predecessors: none, or reconnects would fill the log', () => {
    const [opened, typed] = [open(), typist()];
    typed('missing');
    const orphan = typed('b');
    expect(apply(opened, orphan)).toEqual(orphan);
    expect(apply(opened, orphan)).toBeNull();
  });

  test('[A5] of an edit while another waits for its predecessors: enough for both', () => {
    const [opened, typed, other] = [open(), typist(1), typist(2)];
    const missing = typed('a');
    const rows = [apply(opened, typed('b')), apply(opened, other('x')), apply(opened, missing)];
    expect(rows.every((row) => row !== null)).toBe(true);
    expect(replay(rows)).toBe(textOf(opened.document));
    expect(opened.document.store.pendingStructs).toBeNull();
  });

  test('[A5] what is returned is a copy: the frame is a view of what was read from a socket', () => {
    const [opened, typed] = [open(), typist()];
    typed('missing');
    const orphan = typed('b');
    const row = apply(opened, orphan);
    orphan.fill(0);
    expect(row).not.toEqual(orphan);
  });
});

describe('folding', () => {
  test('[S10] is worth it when the tail is long enough for the size of the snapshot', () => {
    const opened = open();
    expect(opened.isWorthFolding).toBe(false);
    for (let row = 0; row < 99; row += 1) opened.countTail(30);
    expect(opened.isWorthFolding, 'too few rows').toBe(false);
    opened.countTail(30);
    expect(opened.isWorthFolding).toBe(true);
    const somebody = {} as Connection;
    opened.document.addConnection(somebody);
    for (let row = 100; row < 499; row += 1) opened.countTail(30);
    expect(opened.isWorthFolding, 'somebody is in it, who will add to it').toBe(false);
    opened.countTail(30);
    expect(opened.isWorthFolding).toBe(true);
    opened.document.removeConnection(somebody);

    opened.folded(500, 100_000);
    for (let row = 0; row < 200; row += 1) opened.countTail(30);
    expect(opened.isWorthFolding, 'too few bytes for so large a snapshot').toBe(false);
    for (let row = 0; row < 700; row += 1) opened.countTail(30);
    expect(opened.isWorthFolding).toBe(true);

    opened.folded(900, 100_000_000);
    for (let row = 0; row < 5_000; row += 1) opened.countTail(30);
    expect(opened.isWorthFolding, 'so many rows that loading would notice').toBe(true);
  });
});
