import { expect, test, vi } from 'vitest';
import { joinAs, textOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { readiness } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';

test('[C4] servers on different databases know nothing of each other', async () => {
  const [one, two] = [await startServer(), await startServer()];
  const editor = await joinAs('y-websocket', one.url, 'same/name');
  editor.type('only here');
  expect(await editor.ack()).toBe(true);
  const other = await joinAs('hocuspocus', two.url, 'same/name');
  expect(textOf(await other.ask())).toBe('');
  expect(await valueOf(one.url, 'indelible_updates_total', { direction: 'in' })).toBe(1);
  expect(await valueOf(two.url, 'indelible_updates_total', { direction: 'in' })).toBe(0);
  expect(await valueOf(two.url, 'indelible_connections', { protocol: 'hocuspocus' })).toBe(1);
});

test('[C4] of servers on one database, one opens what another has committed, also while both run', async () => {
  const storage = await createStorage('postgres');
  const [one, two] = await Promise.all([startServer(storage), startServer(storage)]);
  const editor = await joinAs('y-websocket', one.url, 'shared');
  editor.type('from one');
  expect(await editor.ack()).toBe(true);
  const other = await joinAs('hocuspocus', two.url, 'shared');
  expect(textOf(await other.ask())).toBe('from one');
});

test('[C4] closing one leaves the others running', async () => {
  const [one, two] = [await startServer(await createStorage('embedded')), await startServer()];
  const editor = await joinAs('y-websocket', two.url, 'stays');
  await one.server.close();
  await vi.waitFor(() => expect(fetch(`${one.url}/healthz`)).rejects.toThrow('fetch failed'));
  editor.type('still here');
  expect(await editor.ack()).toBe(true);
  expect(await readiness(two.url)).toMatchObject({ code: 200 });
});

test('[C4] one that is closed gives its port and its DATA_DIR to the next', async () => {
  const storage = await createStorage('embedded');
  const first = await startServer(storage);
  const editor = await joinAs('y-websocket', first.url, 'again');
  editor.type('kept');
  expect(await editor.ack()).toBe(true);
  expect(await first.server.close()).toEqual({ unwritten: [] });
  const second = await startServer({ ...storage, port: Number(new URL(first.url).port) });
  const reader = await joinAs('y-websocket', second.url, 'again');
  expect(textOf(await reader.ask())).toBe('kept');
});
