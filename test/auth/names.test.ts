import { describe, expect, test } from 'vitest';
import { documentNameOf, isDocumentName } from '../../server/auth/names.ts';

const GOOD = [
  'a',
  'notes/today',
  'a/b/c',
  'naïve ☃',
  '...',
  '.hidden',
  'a..b',
  '__proto__',
  'x'.repeat(255),
  '%',
  '?#&',
];

const BAD: Array<[why: string, name: string]> = [
  ['empty', ''],
  ['256 bytes', 'x'.repeat(256)],
  ['256 bytes in 86 characters', '☃'.repeat(86)],
  ['not NFC', 'e\u0301'],
  ['half a surrogate pair', '\ud800'],
  ['NUL', 'a\0b'],
  ['a line break', 'a\nb'],
  ['DEL', 'a\u007fb'],
  ['a C1 control', 'a\u0085b'],
  ['an empty segment', 'a//b'],
  ['a slash in front', '/a'],
  ['a slash at the end', 'a/'],
  ['a dot segment', 'a/./b'],
  ['two dots', '..'],
  ['two dots in the path', 'a/../b'],
];

describe('names of documents', () => {
  test.each(GOOD)('[W7] takes %j', (name) => {
    expect(isDocumentName(name)).toBe(true);
    expect(documentNameOf(`/${encodeURIComponent(name)}`)).toBe(name);
  });

  test.each(BAD)('[W7] refuses %s', (_why, name) => {
    expect(isDocumentName(name)).toBe(false);
    // As a path, where every byte is written out; half a pair has no bytes of its own.
    const path = Array.from(Buffer.from(name), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    expect(documentNameOf(`/${path}`)).toBe(name.isWellFormed() ? null : '\ufffd');
  });

  test('[W7] a path names its document with raw and with encoded slashes, and what does not decode names none', () => {
    expect(documentNameOf('/notes/today')).toBe('notes/today');
    expect(documentNameOf('/notes%2Ftoday')).toBe('notes/today');
    for (const path of ['/%', '/%ff', '/a/%2e%2e/b', '/%00', '//a']) {
      expect(documentNameOf(path), path).toBe(null);
    }
  });
});
