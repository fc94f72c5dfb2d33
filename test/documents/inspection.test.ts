import * as encoding from 'lib0/encoding';
import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { consequenceOf, inspect } from '../../server/documents/inspection.ts';
import type { DocumentRows, LogRow } from '../../server/storage/document-rows.ts';
import { typist } from '../helpers/editor.ts';
import { throwingUpdate } from '../helpers/hostile.ts';

const LIMITS = { structs: 1_000, clients: 100 };
const time = new Date(0);

type Row = Omit<LogRow, 'id'>;

function row(update: Uint8Array, but: Partial<LogRow> = {}): Row {
  return { author: null, time, update, isIntact: true, setAside: null, ...but };
}

/** A document with these rows, numbered from 1. */
function stored(rows: Row[], snapshot?: Uint8Array, isIntact = true): DocumentRows {
  return {
    name: 'notes',
    snapshot: snapshot === undefined ? null : { time, update: snapshot, isIntact },
    log: rows.map((each, index) => ({ ...each, id: `${index + 1}` })),
  };
}

function verdictsOf(document: DocumentRows, limits = LIMITS) {
  const { snapshot, log } = inspect(document, limits);
  return { snapshot, log: log.map(({ verdict }) => verdict) };
}

function without(document: DocumentRows, id: number) {
  const found = document.log[id - 1];
  if (found === undefined) throw new Error(`no row ${id}`);
  return consequenceOf(document, found);
}

/** The update that deletes the text of another one. */
function deletionOf(update: Uint8Array): Uint8Array {
  return answerTo(update, (content) => content.delete(0, content.length));
}

/** What somebody else does to the text of an update. */
function answerTo(update: Uint8Array, change: (content: Y.Text) => void): Uint8Array {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, update);
  const before = Y.encodeStateVector(doc);
  change(doc.getText('content'));
  return Y.encodeStateAsUpdate(doc, before);
}

describe('the verdict on a row', () => {
  test('[I3] is sound, or that it waits for missing edits, whatever the order', () => {
    const typed = typist();
    const rows = ['1', '2', '3', '4', '5'].map(typed).map((update) => row(update));
    const [one, two, three, , five] = rows as [Row, Row, Row, Row, Row];
    expect(verdictsOf(stored([three, one, two, five]))).toEqual({
      snapshot: null,
      log: ['sound', 'sound', 'sound', 'waits for missing edits'],
    });
  });

  test('[I3] says that a deletion waits for what it deletes', () => {
    const typed = typist(1)('hello');
    const deletion = deletionOf(typed);
    expect(verdictsOf(stored([row(deletion)])).log).toEqual(['waits for missing edits']);
    expect(verdictsOf(stored([row(deletion), row(typed)])).log).toEqual(['sound', 'sound']);
  });

  test('[I3] of the snapshot too', () => {
    const typed = typist();
    const [one, , three] = ['1', '2', '3'].map(typed) as [Uint8Array, Uint8Array, Uint8Array];
    expect(verdictsOf(stored([], one)).snapshot).toBe('sound');
    expect(verdictsOf(stored([], Y.mergeUpdates([one, three]))).snapshot).toBe('waits for missing edits');
  });

  test('[I3] says what the update check says', () => {
    const absurd = encoding.encode((encoder) => {
      for (const number of [0, 1, 7, 1, 2 ** 40, 1]) encoding.writeVarUint(encoder, number);
    });
    const document = stored([row(typist()('kept')), row(absurd)]);
    expect(verdictsOf(document).log).toEqual(['sound', 'would be refused: an absurd clock']);
    expect(verdictsOf(document, { structs: 0, clients: 100 }).log[0]).toBe(
      'would be refused: more than 0 structs',
    );
  });

  test('[I3] says that the checksum differs, or why it is set aside, and takes nothing of it', () => {
    const [one, two, three] = ['1', '2', '3'].map(typist(1)) as [Uint8Array, Uint8Array, Uint8Array];
    const checksum = stored([row(one), row(two, { isIntact: false }), row(three)]);
    expect(verdictsOf(checksum).log).toEqual(['sound', 'checksum differs', 'waits for missing edits']);
    for (const why of ['checksum', 'apply', 'operator']) {
      expect(verdictsOf(stored([row(one), row(two, { setAside: why }), row(three)])).log).toEqual([
        'sound',
        `set aside (${why})`,
        'waits for missing edits',
      ]);
    }
  });

  test('[I3] says what it throws, of the row that is to blame', () => {
    const [one, two] = ['hello ', 'world'].map(typist(7)) as [Uint8Array, Uint8Array];
    const poison = throwingUpdate(7, 'hello world'.length);
    const { log } = verdictsOf(stored([row(one), row(poison), row(two)]));
    expect(log).toEqual(['sound', expect.stringMatching(/^throws: ./), 'sound']);
  });

  test('[I3] is not known when the snapshot cannot be read', () => {
    const [one, two] = ['1', '2'].map(typist(1)) as [Uint8Array, Uint8Array];
    const rows = [row(two), row(two, { setAside: 'operator' })];
    const notKnown = 'not known: the snapshot does not match its checksum';
    expect(verdictsOf(stored(rows, one, false))).toEqual({
      snapshot: 'checksum differs',
      log: [notKnown, 'set aside (operator)'],
    });
    const garbled = verdictsOf(stored(rows, new Uint8Array([1, 2, 3])));
    expect([garbled.snapshot, garbled.log[0]]).toEqual(
      Array(2).fill(expect.stringMatching(/^not known: the document cannot be loaded: ./)),
    );
  });
});

describe('without a row', () => {
  test('[I5] those count that take effect with it only, of whatever client', () => {
    const [bad, after, late] = ['bad', 'after', 'late'].map(typist(1)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const reply = answerTo(bad, (content) => content.insert(1, 'reply'));
    const document = stored([row(late), row(bad), row(typist(2)('apart')), row(after), row(reply)]);
    expect(without(document, 2)).toEqual({
      isHarmful: true,
      text: 'what builds on it waits for it: 3 other updates',
    });
    expect(without(document, 4).text).toBe('what builds on it waits for it: 1 other update');
    expect(without(document, 3)).toEqual({ isHarmful: false, text: 'nothing else builds on it' });
  });

  test('[I5] edits of the snapshot count, which were kept aside until it came', () => {
    const [one, bad, three] = ['1', '2', '3'].map(typist(1)) as [Uint8Array, Uint8Array, Uint8Array];
    expect(without(stored([row(bad)], Y.mergeUpdates([one, three])), 1)).toEqual({
      isHarmful: true,
      text: 'what builds on it waits for it: edits in the snapshot',
    });
  });

  test('[I5] those that wait for more than it do not count, nor those that are left out anyway', () => {
    const [bad, , three] = ['1', '2', '3'].map(typist(1)) as [Uint8Array, Uint8Array, Uint8Array];
    const left = [row(three, { setAside: 'operator' }), row(three, { isIntact: false })];
    const poison = throwingUpdate(1, 1);
    expect(without(stored([row(bad), row(three), ...left, row(poison)]), 1)).toEqual({
      isHarmful: false,
      text: 'nothing else builds on it',
    });
  });

  test('[I5] the document is the same when others hold all of it', () => {
    const typed = typist(1)('hello');
    expect(without(stored([row(typed), row(typed)]), 1).text).toBe('the document is the same without it');
    expect(without(stored([row(typed)], typed), 1).text).toBe('the document is the same without it');
    expect(without(stored([row(typed), row(typed, { isIntact: false })]), 2).text).toBe(
      'the document is the same without it',
    );
  });

  test('[I5] the document is another when edits that claim the same clocks take its place', () => {
    const [bad, eclipsed] = [typist(1)('bad'), typist(1)('god')];
    expect(without(stored([row(bad), row(eclipsed)]), 1)).toEqual({
      isHarmful: false,
      text: 'nothing else builds on it',
    });
  });

  test('[I5] nothing can be told when the snapshot cannot be read', () => {
    const typed = typist(1)('hello');
    expect(without(stored([row(typed)], typed, false), 1)).toEqual({
      isHarmful: true,
      text: 'the snapshot does not match its checksum',
    });
  });
});
