import { expect, test } from 'vitest';
import { isLoopback, originsAllowed } from '../../server/auth/origins.ts';

const HOST = 'notes.example:8443';

test.each([
  ['nothing', undefined, true, true],
  ['the same host', `https://${HOST}`, false, true],
  ['the same host on another port', 'https://notes.example', false, false],
  ['another host', 'https://evil.example', false, false],
  ['a host that begins like ours', `https://${HOST}.evil.example`, false, false],
  ['localhost', 'http://localhost:5173', true, false],
  ['a loopback address', 'http://127.0.0.1:5173', true, false],
  ['the loopback address of IPv6', 'http://[::1]:5173', true, false],
  ['a host named like a loopback address', 'http://127.0.0.1.evil.example', false, false],
  ['a host that ends like localhost', 'http://notlocalhost', false, false],
  ['a sandboxed page or a file', 'null', false, false],
  ['no URL', 'evil', false, false],
])('[G7] of %s: without a key, and with one', (_what, origin, isOpen, withKey) => {
  expect(originsAllowed(undefined, true)(origin, 'localhost:1234')).toBe(isOpen);
  expect(originsAllowed(undefined, false)(origin, HOST)).toBe(withKey);
});

test('[G7] a page that reaches this machine by a name of its own is refused without a key, though it sends no Origin', () => {
  expect(originsAllowed(undefined, true)(undefined, 'evil.example:1234')).toBe(false);
  expect(originsAllowed(undefined, false)(undefined, 'evil.example:1234')).toBe(true);
  for (const host of ['localhost:1234', '127.0.0.1', '[::1]:1234', undefined]) {
    expect(originsAllowed(undefined, true)(undefined, host)).toBe(true);
  }
});

test('[G7] a list replaces both', () => {
  const allows = originsAllowed(['https://app.example'], true);
  expect(allows('https://app.example', HOST)).toBe(true);
  expect(allows('https://app.example:444', HOST)).toBe(false);
  expect(allows('http://app.example', HOST)).toBe(false);
  expect(allows('http://localhost', HOST)).toBe(false);
  expect(allows(undefined, HOST)).toBe(true);
});

test.each([
  ['localhost', true],
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['app.localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['192.168.1.5', false],
  ['127.0.0.1.example', false],
])('[C8] %s is loopback: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
