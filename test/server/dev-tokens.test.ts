import { describe, expect, test } from 'vitest';
import { startServer } from '../helpers/server.ts';
import { SECRET, askAccess } from '../helpers/tokens.ts';

const marks = { jwtIssuer: 'https://login.example', jwtAudience: 'docs' };

function ask(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/dev/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

describe('POST /api/dev/tokens', () => {
  test('[B39] gives a token for one document, to read or to write, which this server takes', async () => {
    const { url, log } = await startServer({ jwtSecret: SECRET, devTokens: true, ...marks });
    for (const access of ['read', 'write']) {
      const answer = await ask(url, { document: 'notes/today', access, name: 'Ada' });
      expect(answer.status).toBe(200);
      const { token } = (await answer.json()) as { token: string };
      expect(await askAccess(url, 'notes/today', token)).toBe(`200 ${access}`);
      expect(await askAccess(url, 'notes/tomorrow', token)).toBe('403 forbidden');
    }
    expect(log.map(({ msg }) => msg)).toContainEqual(expect.stringContaining('DEV_TOKENS is on'));
  });

  test.each([
    ['no JSON', '{'],
    ['no document', { access: 'read' }],
    ['no name of a document', { document: '../x', access: 'read' }],
    ['a name that stands for several', { document: 'notes/*', access: 'read' }],
    ['another access', { document: 'notes', access: 'admin' }],
    ['a name without end', { document: 'notes', access: 'read', name: 'x'.repeat(5000) }],
  ])('[B39] refuses %s', async (_what, body) => {
    const { url } = await startServer({ jwtSecret: SECRET, devTokens: true });
    const answer = await ask(url, body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: 'bad_request' });
  });

  test('[B39] is not there unless it is asked for, and never for pages of elsewhere', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    expect((await ask(url, { document: 'notes', access: 'read' })).status).toBe(404);
    const { url: enabled } = await startServer({ jwtSecret: SECRET, devTokens: true });
    const evil = { Origin: 'https://evil.example' };
    expect((await ask(enabled, { document: 'notes', access: 'read' }, evil)).status).toBe(403);
  });
});
