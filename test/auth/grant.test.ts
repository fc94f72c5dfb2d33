import { describe, expect, test } from 'vitest';
import { accessTo } from '../../server/auth/grant.ts';

describe('access by pattern', () => {
  test.each([
    ['notes/today', 'notes/today', true],
    ['notes/today', 'notes/tomorrow', false],
    ['*', 'notes', true],
    ['*', 'notes/today', false],
    ['notes/*', 'notes/today', true],
    ['notes/*', 'notes', false],
    ['notes/*', 'notes/today/draft', false],
    ['notes/*/draft', 'notes/today/draft', true],
    ['**', 'notes/today/draft', true],
    ['notes/**', 'notes', true],
    ['notes/**', 'notes/today/draft', true],
    ['notes/**/draft', 'notes/draft', true],
    ['notes/**/draft', 'notes/a/b/draft', true],
    ['notes/**/draft', 'notes/a/b', false],
    ['note*', 'notes', false],
    ['NOTES/*', 'notes/today', false],
  ])('[G5] %s against %s: %s', (pattern, name, matches) => {
    expect(accessTo(name, { [pattern]: 'write' })).toBe(matches ? 'write' : null);
  });

  test('[G5] a hostile pattern takes no time', () => {
    const name = Array.from({ length: 120 }, () => 'a').join('/');
    const before = performance.now();
    expect(accessTo(name, { [`${'**/'.repeat(60)}b`]: 'write' })).toBe(null);
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  test('[G5] of several patterns the highest access counts, and none gives none', () => {
    expect(accessTo('notes/today', { '**': 'read', 'notes/*': 'write' })).toBe('write');
    expect(accessTo('notes/today', { 'notes/*': 'write', '**': 'read' })).toBe('write');
    expect(accessTo('other', { '**': 'read', 'notes/*': 'write' })).toBe('read');
    expect(accessTo('other', { 'notes/*': 'write' })).toBe(null);
    expect(accessTo('other', {})).toBe(null);
  });
});
