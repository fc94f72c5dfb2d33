import { once } from 'node:events';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { mintToken } from '../../server/auth/tokens.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { subprotocols } from '../helpers/doors.ts';
import { valueOf } from '../helpers/metrics.ts';
import { rawYWebsocket } from '../helpers/raw-client.ts';
import { HANDSHAKE, answerTo, connectTcp, requestOf } from '../helpers/raw-http.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const ORIGIN = 'https://app.example';
const BROWSER = { headers: { Origin: ORIGIN } };
const tokenFor = (pattern: string) => mintToken(SECRET, { sub: 'anna', access: { [pattern]: 'write' } }, 60);

/** What an upgrade is answered with; the path goes out as it stands, which a URL would not let it. */
async function upgrade(url: string, path: string): Promise<{ status: number | undefined; body: string }> {
  const { hostname, port } = new URL(url);
  const asked = request({ hostname, port, path, headers: HANDSHAKE, agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode?: number }];
  let body = '';
  for await (const chunk of response) body += chunk.toString();
  return { status: response.statusCode, body };
}

describe('a refused upgrade', () => {
  test.each([
    ['a name with an empty segment', '/a//b', undefined, 400, 4400, 'bad_name'],
    ['a name with a dot segment', '/a/%2e%2e/b', undefined, 400, 4400, 'bad_name'],
    ['a bad name, before its token', '/a//b?token=garbage', undefined, 400, 4400, 'bad_name'],
    ['no token', '/notes/today', undefined, 401, 4401, 'unauthorized'],
    ['an empty token', '/notes/today?token=', undefined, 401, 4401, 'unauthorized'],
    ['a token that is none', '/notes/today?token=garbage', undefined, 401, 4401, 'unauthorized'],
    ['a token for another document', '/notes/today', 'other/*', 403, 4403, 'forbidden'],
  ])(
    '[G2] for %s has a status, and for browsers a close code',
    async (_case, path, pattern, status, code, word) => {
      const { url } = await startServer({ jwtSecret: SECRET, allowedOrigins: [ORIGIN] });
      const full = pattern === undefined ? path : `${path}?token=${await tokenFor(pattern)}`;
      expect(await upgrade(url, full)).toEqual({ status, body: `${word}\n` });
      expect(await valueOf(url, 'indelible_refused_total', { code: word })).toBe(1);
      // Percent-encoded dots would be resolved by the client.
      const browser = await rawYWebsocket(`${url}${full.replace('/%2e%2e/', '//')}`, BROWSER);
      expect(await browser.closed()).toEqual({ code, reason: word });
      expect(browser.frames).toEqual([]);
      expect(await valueOf(url, 'indelible_connections', { protocol: 'y-websocket' })).toBe(0);
    },
  );

  test('[G2] while the server drains is 503, and 1012 for browsers', async () => {
    const { url, server } = await startServer({
      drainMs: 60_000,
      shutdownMs: 60_000,
      allowedOrigins: [ORIGIN],
    });
    const open = [await rawYWebsocket(`${url}/one`), await rawYWebsocket(`${url}/two`)];
    const force = new AbortController();
    const closing = server.close(force.signal);
    // The first is closed, the second has half a minute left.
    await Promise.race(open.map((client) => client.closed()));
    expect(await upgrade(url, '/three')).toEqual({ status: 503, body: 'draining\n' });
    const browser = await rawYWebsocket(`${url}/three`, BROWSER);
    expect(await browser.closed()).toEqual({ code: 1012, reason: 'draining' });
    force.abort();
    expect(await closing).toEqual({ unwritten: [] });
  });

  test('[G2] stops a y-websocket provider in a browser, which would try for ever', async () => {
    const { url } = await startServer({ jwtSecret: SECRET, allowedOrigins: [ORIGIN] });
    const refused = connectYWebsocket(url, 'notes/today', { ...BROWSER, token: await tokenFor('other') });
    await expect(refused.synced()).rejects.toThrow('the server closed with 4403 forbidden');
    expect(refused.provider.shouldConnect).toBe(false);
    expect(refused.closes).toHaveLength(1);
    const welcome = connectYWebsocket(url, 'notes/today', { ...BROWSER, token: await tokenFor('notes/*') });
    await welcome.synced();
  });

  test('[G2] leaves nothing open, though the client keeps its side open', async () => {
    const { url } = await startServer();
    const tcp = connectTcp(url, { allowHalfOpen: true });
    tcp.write(requestOf('/a//b', HANDSHAKE));
    let answer = '';
    tcp.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    await once(tcp, 'end');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    // What is sent to a socket that is gone is answered with a reset, and the next write fails.
    const failed = once(tcp, 'error') as Promise<[NodeJS.ErrnoException]>;
    while (tcp.writable) await new Promise<void>((resolve) => tcp.write('?', () => setImmediate(resolve)));
    expect((await failed)[0].code).toMatch(/ECONNRESET|EPIPE/);
  });

  test('[G2] whose handshake is no handshake has a status, with an Origin too', async () => {
    const { url } = await startServer({ allowedOrigins: [ORIGIN] });
    const { 'Sec-WebSocket-Key': _key, ...keyless } = HANDSHAKE;
    const answer = await answerTo(url, requestOf('/a//b', { ...keyless, Origin: ORIGIN }));
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  });
});

/** The whole answer to an upgrade, also to one that becomes a socket. */
async function handshake(url: string, path: string, headers: Record<string, string>): Promise<string> {
  const { hostname, port } = new URL(url);
  const asked = request({ hostname, port, path, headers: { ...HANDSHAKE, ...headers }, agent: false });
  asked.end();
  const [response, tcp] = (await once(asked, 'upgrade')) as [{ rawHeaders: string[] }, Socket];
  tcp.destroy();
  return response.rawHeaders.join(' ');
}

describe('a token in a subprotocol', () => {
  test.each([
    ['is let in', 'notes/*', {}],
    ['is let in, from a browser', 'notes/*', BROWSER.headers],
    ['is refused, in a browser', 'other/*', BROWSER.headers],
  ])('[K6] is never sent back: who %s gets `indelible`', async (_who, pattern, headers) => {
    const { url } = await startServer({ jwtSecret: SECRET, allowedOrigins: [ORIGIN] });
    const token = await tokenFor(pattern);
    for (const offered of [subprotocols(token), subprotocols(token).toReversed()]) {
      const answer = await handshake(url, '/notes/today', {
        ...headers,
        'Sec-WebSocket-Protocol': offered.join(', '),
      });
      expect(answer).toContain('Sec-WebSocket-Protocol indelible');
      expect(answer).not.toContain(token);
    }
  });

  test('[K6] beside another subprotocol leaves that one selected, and alone none', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    const token = `token.${await mint()}`;
    const offer = (protocols: string) => handshake(url, '/notes', { 'Sec-WebSocket-Protocol': protocols });
    expect(await offer(`${token}, theirs`)).toContain('Sec-WebSocket-Protocol theirs');
    expect(await offer(token)).not.toContain('Sec-WebSocket-Protocol');
  });

  test('[K6] is taken from the provider of y-websocket', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    const client = connectYWebsocket(url, 'notes/today', {
      protocols: subprotocols(await mint()),
      acks: true,
    });
    client.doc.getText('content').insert(0, 'hello');
    await client.saved();
    expect(client.provider.ws?.protocol).toBe('indelible');
  });
});

test('[Q1] a client that goes away while it is judged is counted no more', async () => {
  const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { url } = await startServer({
    limitConnections: 1,
    auth: async ({ token }) => {
      if (token !== 'slow') return { user: null, access: 'write' };
      onAsked();
      await decided;
      return { user: null, access: 'write' };
    },
  });
  const impatient = connectTcp(url);
  impatient.write(requestOf('/notes?token=slow', HANDSHAKE));
  await asked;
  await expect(rawYWebsocket(`${url}/notes`)).rejects.toMatchObject({ status: 429 });
  impatient.resetAndDestroy();
  const next = await vi.waitFor(() => rawYWebsocket(`${url}/notes`));
  decide();
  await expect(rawYWebsocket(`${url}/notes`)).rejects.toMatchObject({ status: 429 });
  next.socket.close();
  await vi.waitFor(() => rawYWebsocket(`${url}/notes`));
});
