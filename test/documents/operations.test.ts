import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import type { IndelibleError } from '../../server/errors.ts';
import { DocumentCopy } from '../../server/documents/content.ts';
import { operate, operationsSchema } from '../../server/documents/operations.ts';
import { documentOf } from '../../server/documents/values.ts';

/** What becomes of roots. */
function done(roots: Record<string, never> | object, ...operations: object[]): unknown {
  const doc = documentOf(roots as Record<string, string>);
  operate(doc, operationsSchema.parse(operations));
  return new DocumentCopy(doc).json();
}

function refused(roots: object, ...operations: object[]): string {
  try {
    done(roots, ...operations);
  } catch (error) {
    const { code, detail } = error as IndelibleError;
    return `${code}: ${detail}`;
  }
  return 'done';
}

const at = (index: number) => ({ op: 'insert', at: index, text: 'x' });
const setKey = (key: string, value: unknown, as?: string) => ({ op: 'set', root: 'map', key, value, as });
const text = (content: string) => [{ insert: content }];

describe('[U5] texts', () => {
  test.each([
    ['insert', { op: 'insert', at: 3, text: ' and a half' }, 'one and a half two'],
    ['delete', { op: 'delete', at: 0, length: 4 }, 'two'],
    ['replace the first', { op: 'replace', find: 'o', with: '0' }, '0ne two'],
    ['replace all', { op: 'replace', find: 'o', with: '', all: true }, 'ne tw'],
    ['replace by what holds it', { op: 'replace', find: 'o', with: 'oo', all: true }, 'oone twoo'],
    ['append', { op: 'append', text: '!' }, 'one two!'],
    ['set', { op: 'set', text: 'one too' }, 'one too'],
    ['set blank', { op: 'set', text: '' }, ''],
  ])('[U5] %s', (_what, operation, expected) => {
    expect(done({ content: 'one two' }, operation)).toEqual({
      content: expected === '' ? null : text(expected),
    });
  });

  test('[U5] formatting is kept where a text is replaced, given, and taken away', () => {
    const content = [{ insert: 'one ' }, { insert: 'two', attributes: { bold: true } }];
    expect(done({ content }, { op: 'replace', find: 'two', with: 'three' })).toEqual({
      content: [{ insert: 'one ' }, { insert: 'three', attributes: { bold: true } }],
    });
    expect(
      done({ content }, { op: 'format', at: 4, length: 3, attributes: { bold: null, link: '/' } }),
    ).toEqual({
      content: [{ insert: 'one ' }, { insert: 'two', attributes: { link: '/' } }],
    });
    expect(done({ content: 'a' }, { op: 'insert', at: 1, text: 'b', attributes: { em: {} } })).toEqual({
      content: [{ insert: 'a' }, { insert: 'b', attributes: { em: {} } }],
    });
  });

  test('[U6] any text can be set in the place of any other', () => {
    const unit = fc.constantFrom('a', 'b', ' ', '\n', '\n', '.', '😀', '😁', 'é', '👩‍👩‍👧', 'word', 'another');
    const anyText = fc.string({ unit, maxLength: 60 });
    fc.assert(
      fc.property(anyText, anyText, (before, after) => {
        const doc = documentOf({ content: before });
        operate(doc, operationsSchema.parse([{ op: 'set', text: after }]));
        expect(doc.getText('content').toString()).toBe(after);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['a line among others', 'one\n\ntwo\nthree\n', 'one\n\ntwo!\nthree\n', [1, 0]],
    ['a line end', 'one\n', 'one', [0, 1]],
    ['a word of many', 'one two three four', 'one too three four', [1, 1]],
    ['two lines apart', 'a\nb\nc\nd\n', 'a!\nb\nc\nd!\n', [2, 0]],
  ])('[U6] %s is all that is touched', (_what, before, after, [inserted, deleted]) => {
    const doc = documentOf({ content: before });
    let [added, taken] = [0, 0];
    doc.getText('content').observe(({ delta }) => {
      for (const change of delta) {
        added += typeof change.insert === 'string' ? change.insert.length : 0;
        taken += change.delete ?? 0;
      }
    });
    operate(doc, operationsSchema.parse([{ op: 'set', text: after }]));
    expect(doc.getText('content').toString()).toBe(after);
    expect([added, taken]).toEqual([inserted, deleted]);
  });

  test('[U11] what lies beyond the end, or within a character, is refused', () => {
    expect(refused({ content: 'a😀' }, at(2))).toMatch(/^bad_operation: operation 0: 2 lies within/);
    expect(refused({ content: 'a😀' }, at(4))).toMatch(/^bad_operation: operation 0: 4 lies beyond/);
    expect(refused({ content: 'a😀' }, { op: 'delete', at: 1, length: 1 })).toMatch(/within a character/);
    expect(refused({ content: 'a😀' }, { op: 'delete', at: 1, length: 3 })).toMatch(/beyond the end/);
    expect(refused({ content: 'a' }, { op: 'replace', find: 'b', with: 'c' })).toMatch(/^bad_operation/);
    expect(refused({ content: 'a' }, { op: 'format', at: 0, length: 2, attributes: {} })).toMatch(/beyond/);
    expect(done({ content: 'a😀' }, at(3))).toEqual({ content: text('a😀x') });
  });
});

describe('[U5] maps and arrays', () => {
  const roots = { map: { a: 1, in: { list: ['x', { deep: true }] } }, list: ['a', 'b', 'c', { d: 1 }] };

  test.each([
    [
      'set',
      { op: 'set', root: 'map', key: 'a', value: { b: [2] } },
      { map: { ...roots.map, a: { b: [2] } } },
    ],
    ['delete a key', { op: 'delete', root: 'map', key: 'a' }, { map: { in: roots.map.in } }],
    ['push', { op: 'push', root: 'list', values: [1, null] }, { list: [...roots.list, 1, null] }],
    [
      'insert',
      { op: 'insert', root: 'list', at: 1, values: ['x'] },
      { list: ['a', 'x', 'b', 'c', { d: 1 }] },
    ],
    ['delete', { op: 'delete', root: 'list', at: 1, length: 2 }, { list: ['a', { d: 1 }] }],
    ['delete one', { op: 'delete', root: 'list', at: 3 }, { list: ['a', 'b', 'c'] }],
    ['move on', { op: 'move', root: 'list', from: 0, to: 2 }, { list: ['b', 'c', 'a', { d: 1 }] }],
    ['move back', { op: 'move', root: 'list', from: 3, to: 0 }, { list: [{ d: 1 }, 'a', 'b', 'c'] }],
    [
      'what lies deep',
      { op: 'set', root: 'map', path: ['in', 'list', 1], key: 'deep', value: 'er' },
      { map: { a: 1, in: { list: ['x', { deep: 'er' }] } } },
    ],
    [
      'a list that lies deep',
      { op: 'delete', root: 'map', path: ['in', 'list'], at: 0, length: 1 },
      { map: { a: 1, in: { list: [{ deep: true }] } } },
    ],
  ])('[U5] %s', (_what, operation, expected) => {
    expect(done(roots, operation)).toEqual({ ...roots, ...expected });
  });

  test('[U5] a value is kept as shared types, as a text, or as one value', () => {
    const doc = new Y.Doc();
    operate(
      doc,
      operationsSchema.parse([
        setKey('shared', { a: [1] }),
        setKey('text', 'abc', 'text'),
        setKey('json', { a: [1] }, 'json'),
      ]),
    );
    const map = doc.getMap('map');
    expect(map.get('shared')).toBeInstanceOf(Y.Map);
    expect(map.get('text')).toBeInstanceOf(Y.Text);
    expect(map.get('json')).toEqual({ a: [1] });
    operate(doc, operationsSchema.parse([{ op: 'append', root: 'map', path: ['text'], text: 'd' }]));
    expect(String(map.get('text'))).toBe('abcd');
    expect(refused({}, setKey('x', 1, 'text'))).toMatch(/^bad_operation/);
    expect(refused({}, setKey('x', JSON.parse('{"__proto__":1}'), 'json'))).toMatch(
      /^bad_operation: .*__proto__/,
    );
  });

  test('[U5] an XML text, where a path leads to it', () => {
    const page = { type: 'doc', content: [{ type: 'p', content: [{ type: 'text', text: 'one' }] }] };
    const after = done({ page }, { op: 'append', root: 'page', path: [0, 0], text: ' two' });
    expect(after).toEqual({
      page: { type: 'doc', content: [{ type: 'p', content: [{ type: 'text', text: 'one two' }] }] },
    });
  });

  test('[U11] a root of another type, a path that leads nowhere, and what is not there are refused', () => {
    expect(refused(roots, { op: 'append', root: 'list', text: 'x' })).toMatch(/^wrong_type/);
    expect(refused(roots, { op: 'push', root: 'map', values: [1] })).toMatch(/^wrong_type/);
    expect(
      refused({ page: { type: 'doc', content: [{ type: 'p' }] } }, { op: 'append', root: 'page', text: 'x' }),
    ).toMatch(/^wrong_type/);
    expect(refused(roots, { op: 'set', root: 'map', path: ['a'], key: 'b', value: 1 })).toMatch(
      /^wrong_type/,
    );
    expect(refused(roots, { op: 'set', root: 'map', path: ['x'], key: 'b', value: 1 })).toMatch(
      /^bad_operation.*path/,
    );
    expect(refused(roots, { op: 'delete', root: 'map', key: 'x' })).toMatch(/^bad_operation/);
    expect(refused(roots, { op: 'move', root: 'list', from: 4, to: 0 })).toMatch(/beyond/);
    expect(refused(roots, { op: 'insert', root: 'list', at: 5, values: [1] })).toMatch(/beyond/);
    expect(refused({ content: 'x' }, { op: 'insert', at: { relative: 'AAAA' }, text: 'x' })).toMatch(
      /^bad_operation/,
    );
  });

  test('[U11] what is too deep is refused, without a stack overflow', () => {
    const deep = JSON.parse(`${'['.repeat(10_000)}${']'.repeat(10_000)}`) as unknown;
    for (const as of ['shared', 'json'])
      expect(refused({}, { op: 'push', root: 'list', values: [deep], as })).toMatch(/levels/);
    expect(() => documentOf({ list: deep as never })).toThrow(/levels/);
    const object = JSON.parse(`${'{"type":"p","content":['.repeat(5_000)}${']}'.repeat(5_000)}`) as unknown;
    expect(() => documentOf({ page: object as never })).toThrow(/levels/);
  });

  test.each([
    [{ op: 'explode' }],
    [{ op: 'insert', at: -1, text: 'x' }],
    [{ op: 'insert', at: 0, text: 1 }],
    [{ op: 'insert', at: 0, text: 'x', more: 1 }],
    [{ op: 'set', root: 'map' }],
    [{ op: 'push', values: [] }],
    [{ op: 'append', text: 'x', path: [1.5] }],
    ['append'],
    [null],
  ])('[U11] %j is no operation', (operation) => {
    expect(operationsSchema.safeParse([operation]).success).toBe(false);
  });
});

test('[U5] any JSON is read as it was set', () => {
  const key = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toString'));
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.integer(),
      fc.string(),
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(key, tie('json'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(json, (value) => {
      // As it comes over the line.
      const sent = JSON.stringify(value);
      const doc = new Y.Doc();
      operate(
        doc,
        operationsSchema.parse([
          { op: 'set', root: 'map', key: 'value', value: JSON.parse(sent) as unknown },
        ]),
      );
      const { map } = new DocumentCopy(doc).json() as { map: { value: unknown } };
      expect(JSON.parse(JSON.stringify(map.value))).toEqual(JSON.parse(sent));
    }),
  );
});

describe('[U11] a few bytes that ask for much', () => {
  test.each([
    [
      'a text in the place of each letter',
      [{ op: 'replace', find: 'a', with: 'x'.repeat(10_000), all: true }],
    ],
    [
      'twice as much, again and again',
      Array.from({ length: 30 }, () => ({ op: 'replace', find: 'a', with: 'aa', all: true })),
    ],
  ])('[U11] %s is refused before it is done', (_what, operations) => {
    expect(refused({ content: 'a'.repeat(2_000) }, ...operations)).toMatch(
      /^(document_too_large|bad_operation): operation \d+/,
    );
  });

  test('[U11] a large value that is moved again and again is refused', () => {
    const keys = Object.fromEntries(Array.from({ length: 2_000 }, (_, key) => [`key${key}`, key]));
    const moves = Array.from({ length: 60 }, (_, move) => ({
      op: 'move',
      root: 'list',
      from: move % 2,
      to: (move + 1) % 2,
    }));
    const list = { op: 'push', root: 'list', values: [keys, 0], as: 'shared' };
    expect(refused({}, list, ...moves)).toBe('done');
    expect(refused({}, list, ...Array.from({ length: 4 }, () => moves).flat())).toMatch(
      /^document_too_large/,
    );
  });
});

test('[U11] half a character is no text, and no name of a root', () => {
  for (const half of ['\ud83d', '\ude00 here']) {
    expect(operationsSchema.safeParse([{ op: 'insert', at: 0, text: half }]).success).toBe(false);
    expect(() => documentOf({ [half]: 'text' })).toThrow(/bad_operation|half/);
  }
});
