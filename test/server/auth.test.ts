import { describe, expect, test } from 'vitest';
import { IndelibleError, type Authorize } from '../../server/index.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { joinAs } from '../helpers/editor.ts';
import { rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';

/** What a page of the same host sends. */
const pageOf = (url: string) => ({ headers: { Origin: url } });

/** What each kind of client is told. */
async function refusalsOf(auth: Authorize) {
  const { url, log } = await startServer({ auth });
  const status = await rawYWebsocket(`${url}/page?token=t`).then(
    () => 101,
    (error: unknown) => (error as { status?: number }).status,
  );
  const browser = await rawYWebsocket(`${url}/page?token=t`, pageOf(url));
  const hocuspocus = await rawHocuspocus(url);
  hocuspocus.send({ type: 'token', token: 't' }, 'page');
  const { reason } = await hocuspocus.next('denied');
  return { url, log, told: { status, browser: await browser.closed(), hocuspocus: reason } };
}

describe('auth of a program', () => {
  test('[C7] decides who may read and write what, and whose edits they are', async () => {
    const asked: unknown[] = [];
    const storage = await createStorage('postgres');
    const { url } = await startServer({
      ...storage,
      auth: (request) => {
        asked.push(request);
        return { user: `user of ${request.token}`, access: request.token === 'w' ? 'write' : 'read' };
      },
    });
    const writer = await joinAs('y-websocket', url, 'notes/today', 'w');
    writer.type('hello');
    expect(await writer.ack()).toBe(true);
    const reader = await joinAs('hocuspocus', url, 'notes/today', 'r');
    reader.type('scribbled');
    expect(await reader.ack()).toBe(false);
    expect(asked).toEqual([
      { document: 'notes/today', token: 'w' },
      { document: 'notes/today', token: 'r' },
    ]);
    const { rows } = await (await openStorage(storage)).queries.query('select author from indelible.updates');
    expect(rows).toEqual([{ author: 'user of w' }]);
  });

  test.each([
    ['unauthorized', 401, 4401],
    ['forbidden', 403, 4403],
  ] as const)('[C7] throws %s to refuse, which clients take as final', async (code, status, closeCode) => {
    const { told } = await refusalsOf(() => {
      throw new IndelibleError(code);
    });
    expect(told).toEqual({ status, browser: { code: closeCode, reason: code }, hocuspocus: code });
  });

  test.each([
    ['throws', () => Promise.reject(new Error('the key server is down'))],
    ['gives nothing', () => undefined as never],
    ['gives something else', () => ({ user: 'alice', access: 'all' }) as never],
  ])(
    '[C7] that %s does not refuse: clients are told to come back, and the log says why',
    async (_case, auth) => {
      const { log, told } = await refusalsOf(auth);
      const reason = 'auth_unavailable';
      expect(told).toEqual({ status: 503, browser: { code: 4503, reason }, hocuspocus: reason });
      const lines = log.filter(({ msg }) => msg.startsWith('auth failed'));
      expect(lines).toHaveLength(3);
      expect(JSON.stringify(lines[0])).toMatch(/the key server is down|auth must give/);
    },
  );

  test('[C7] a client gets in when auth works again', async () => {
    let isDown = true;
    const { url } = await startServer({
      auth: async () => {
        if (isDown) throw new Error('the key server is down');
        return { user: null, access: 'write' };
      },
    });
    const client = connectYWebsocket(url, 'page', pageOf(url));
    await client.closed();
    expect(client.closes[0]).toMatchObject({ code: 4503 });
    isDown = false;
    await client.synced();
  });

  test('[R1] an upgrade whose access is still being checked when the server closes is refused', async () => {
    const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
    const { server, url } = await startServer({
      drainMs: 60_000,
      shutdownMs: 60_000,
      auth: async ({ token }) => {
        if (token === 'slow') {
          onAsked();
          await decided;
        }
        return { user: null, access: 'write' };
      },
    });
    const others = [await rawYWebsocket(`${url}/page`), await rawYWebsocket(`${url}/page`)];
    const slow = rawYWebsocket(`${url}/page?token=slow`).catch((error: unknown) => error);
    await asked;
    const force = new AbortController();
    const closed = server.close(force.signal);
    await Promise.race(others.map((client) => client.closed()));
    decide();
    expect(await slow).toMatchObject({ status: 503, body: 'draining\n' });
    force.abort();
    expect(await closed).toEqual({ unwritten: [] });
  });
});
