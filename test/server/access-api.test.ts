import { request } from 'node:http';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { UpgradeRefused, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, askAccess, mint } from '../helpers/tokens.ts';

const APP = 'https://app.example';
const EVIL = 'https://evil.example';

let url: string;
beforeAll(async () => {
  ({ url } = await startServer({ jwtSecret: SECRET, allowedOrigins: [APP] }));
});

/** The path goes out as it stands, which a URL would not let it. */
async function get(path: string, token: string): Promise<{ status: number | undefined; body: unknown }> {
  const { hostname, port } = new URL(url);
  const asked = request({ hostname, port, path, headers: { Authorization: `Bearer ${token}` } });
  asked.end();
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode?: number }];
  return { status: response.statusCode, body: JSON.parse(await text(response)) as unknown };
}

describe('GET /api/access/{name}', () => {
  test('[K9] says who somebody is and what they may do', async () => {
    const token = await mint({ access: { 'notes/*': 'read', 'notes/today': 'write' } });
    const answer = await get('/api/access/notes%2Ftoday', token);
    expect(answer).toEqual({ status: 200, body: { user: 'anna', access: 'write' } });
    expect(await askAccess(url, 'notes/yesterday', token)).toBe('200 read');
  });

  test.each([
    ['no token', undefined, 401, 'unauthorized'],
    ['no Bearer', 'Basic YW5uYTphbm5h', 401, 'unauthorized'],
    ['a token for another document', { access: { 'other/*': 'write' } }, 403, 'forbidden'],
  ])('[K9] refuses %s in JSON', async (_what, credential, status, code) => {
    const Authorization =
      typeof credential === 'object' ? `Bearer ${await mint(credential)}` : (credential ?? '');
    const response = await fetch(`${url}/api/access/notes`, { headers: { Authorization } });
    expect(response.status).toBe(status);
    expect(response.headers.get('Content-Type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({ code, status, title: expect.any(String) as string });
  });

  test('[K9] the scheme of a token is Bearer, however it is written', async () => {
    const headers = { Authorization: `bearer ${await mint()}` };
    expect(await askAccess(url, 'notes', null, headers)).toBe('200 write');
  });

  // The socket at `/{path}` takes a name for the same, or refuses it too.
  test.each([
    ['notes%2Ftoday', 'notes/today'],
    ['caf%C3%A9', 'café'],
    ['100%25', '100%'],
    ['50%2525', '50%25'],
    ['a%2520b', 'a%20b'],
    ['a+b%20c', 'a+b c'],
    ['a%3Fb%23c', 'a?b#c'],
    ['a%2F%2Fb', null],
    ['a%2F..%2Fb', null],
    ['100%', null],
    ['%zz', null],
    ['caf%C3', null],
    ['cafe%CC%81', null],
    ['a%00b', null],
  ])('[K9] %s names what it names at a socket: %s', async (path, name) => {
    const onlyThis = await mint({ access: { [name ?? '**']: 'write' } });
    const { status, body } = await get(`/api/access/${path}`, onlyThis);
    const socket = await rawYWebsocket(`${url}/${path}?token=${onlyThis}`).then(
      () => 101,
      (error: unknown) => (error instanceof UpgradeRefused ? error.status : `${error as Error}`),
    );
    expect([status, socket]).toEqual(name === null ? [400, 400] : [200, 101]);
    expect(body).toMatchObject(name === null ? { code: 'bad_name' } : { access: 'write' });
  });

  test('[K9] a name is one segment, and nothing else is there', async () => {
    const token = await mint();
    for (const path of ['/api/access/', '/api/access', '/api/access/notes/today', '/api/other']) {
      expect(await get(path, token)).toMatchObject({ status: 404, body: { code: 'bad_path' } });
    }
  });
});

const preflight = (origin: string) =>
  fetch(`${url}/api/access/notes`, {
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'GET',
      'Access-Control-Request-Headers': 'authorization',
    },
  });

describe('pages', () => {
  test('[K9] that may connect may ask, with a token', async () => {
    const { status, headers } = await preflight(APP);
    expect(status).toBe(204);
    expect(headers.get('Access-Control-Allow-Origin')).toBe(APP);
    expect(headers.get('Access-Control-Allow-Methods')).toContain('GET');
    expect(headers.get('Access-Control-Allow-Headers')).toMatch(/\bAuthorization\b/i);
    expect(headers.get('Vary')).toContain('Origin');
  });

  test.each([
    ['what they may do', 'read', 200],
    ['why they may not', undefined, 403],
  ])('[K9] that may connect may read %s', async (_what, level, expected) => {
    const token = await mint({ access: level && { notes: level } });
    const { status, headers } = await fetch(`${url}/api/access/notes`, {
      headers: { Origin: APP, Authorization: `Bearer ${token}` },
    });
    expect(status).toBe(expected);
    expect(headers.get('Access-Control-Allow-Origin')).toBe(APP);
    expect(headers.get('Vary')).toContain('Origin');
  });

  test('[K9] of other origins may not, whatever their token', async () => {
    const asked = await preflight(EVIL);
    expect([asked.status, asked.headers.get('Access-Control-Allow-Origin')]).toEqual([403, null]);
    expect(await askAccess(url, 'notes', await mint(), { Origin: EVIL })).toBe('403 forbidden_origin');
  });
});
