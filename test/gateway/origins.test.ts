import { describe, expect, test } from 'vitest';
import { mintToken } from '../../server/auth/tokens.ts';
import { valueOf } from '../helpers/metrics.ts';
import { UpgradeRefused, rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET } from '../helpers/tokens.ts';

const EVIL = 'https://evil.example';

/** What each door answers to a page of an origin: `open`, or the status of the refusal. */
async function doors(url: string, origin: string, token = ''): Promise<(string | number)[]> {
  const headers = { Origin: origin };
  const sockets = [
    rawYWebsocket(`${url}/notes?token=${token}`, { headers }),
    rawHocuspocus(`${url}/`, { headers }),
  ];
  const opened = sockets.map(async (socket) => {
    try {
      return (await socket).socket.readyState === WebSocket.OPEN ? 'open' : 'closed';
    } catch (error) {
      return error instanceof UpgradeRefused ? error.status : `${error as Error}`;
    }
  });
  const pages = ['/', '/healthz', '/metrics'].map(
    async (path) => (await fetch(url + path, { headers })).status,
  );
  return Promise.all([...opened, ...pages]);
}

const OPEN = ['open', 'open', 200, 200, 200];
const REFUSED = [403, 403, 403, 403, 403];

describe('pages of other origins', () => {
  test('[G7] without a key may connect from this machine only', async () => {
    const { url } = await startServer();
    expect(await doors(url, 'http://localhost:5173')).toEqual(OPEN);
    expect(await doors(url, url)).toEqual(OPEN);
    expect(await doors(url, EVIL)).toEqual(REFUSED);
    expect(await valueOf(url, 'indelible_refused_total', { code: 'forbidden_origin' })).toBe(REFUSED.length);
  });

  test('[G7] with a key may connect from the same host only, or from the list, whatever their token', async () => {
    const token = await mintToken(SECRET, { sub: 'anna', access: { '**': 'write' } }, 60);
    const own = await startServer({ jwtSecret: SECRET });
    expect(await doors(own.url, own.url, token)).toEqual(OPEN);
    expect(await doors(own.url, 'http://localhost:5173', token)).toEqual(REFUSED);
    const listed = await startServer({ jwtSecret: SECRET, allowedOrigins: ['https://app.example'] });
    expect(await doors(listed.url, 'https://app.example', token)).toEqual(OPEN);
    expect(await doors(listed.url, EVIL, token)).toEqual(REFUSED);
  });
});

describe('a server without a key', () => {
  test('[C8] does not start on an address that others reach, and says what to set', async () => {
    await expect(startServer({ host: '0.0.0.0' })).rejects.toThrow(/JWT_SECRET.*AUTH=none/);
  });

  test.each([
    ['AUTH=none', { authMode: 'none' as const }],
    ['a key', { jwtSecret: SECRET }],
    ['an auth of its own', { auth: () => ({ user: null, access: 'read' as const }) }],
  ])('[C8] starts there with %s', async (_what, options) => {
    const { url } = await startServer({ host: '0.0.0.0', ...options });
    expect((await fetch(`${url.replace('0.0.0.0', '127.0.0.1')}/healthz`)).status).toBe(200);
  });
});
