import * as fc from 'fast-check';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { describeErrors } from '../../server/errors.ts';
import { ask, at, patch, told, type Asked } from '../helpers/api.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { joinAs, typist, updateOf } from '../helpers/editor.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const NAME = 'notes/today';
const CODES = new Set(describeErrors().map(({ code }) => code));

const accessTo = (name: string) => `/access/${encodeURIComponent(name)}`;

/** Every route, what it needs, and a request that is good. */
const ROUTES: [needed: 'read' | 'write' | 'admin', path: string, asked: Asked][] = [
  ['read', at(NAME), {}],
  ['read', at(NAME), { method: 'HEAD' }],
  ['read', at(NAME, '/connections'), {}],
  ['read', at(NAME, '/statistics'), {}],
  ['read', accessTo(NAME), {}],
  ['write', at(NAME), patch({ op: 'append', text: 'x' })],
  ['write', at(NAME), { method: 'PATCH', body: updateOf('x') }],
  ['write', at(NAME), { method: 'POST' }],
  ['read', at(NAME, '/duplicate'), { method: 'POST', body: { to: 'other/copy' } }],
  ['admin', at(NAME), { method: 'DELETE' }],
  ['admin', at(NAME, '/restore'), { method: 'POST' }],
  ['admin', at(NAME, '/erase'), { method: 'POST' }],
  ['admin', at(NAME, '/rename'), { method: 'POST', body: { to: 'notes/later' } }],
  ['admin', '/revocations', { method: 'POST', body: { document: NAME } }],
];
const type = (media: string) => ({ 'Content-Type': media });
const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
const LEVELS = ['read', 'write', 'admin'] as const;

describe('[U10] rights', () => {
  let one: TestServer;
  beforeAll(async () => {
    one = await startServer({ jwtSecret: SECRET });
    await one.server.documents.create(NAME, { content: updateOf('text') });
  });

  test.each(ROUTES)('[U10] %s is needed for %s %j', async (needed, path, asked) => {
    const before = await ask(one.url, at(NAME), { token: await mint() });
    const status = async (token?: string) => (await ask(one.url, path, { ...asked, token })).status;
    expect(await status()).toBe(401);
    expect(await status('nonsense')).toBe(401);
    expect(await status(await mint({ exp: 1_000 }))).toBe(401);
    expect(await status(await mint({ access: { 'other/*': 'admin' } }))).toBe(403);
    for (const level of LEVELS.slice(0, LEVELS.indexOf(needed)))
      expect(await status(await mint({ access: { '**': level } }))).toBe(403);
    const after = await ask(one.url, at(NAME), { token: await mint() });
    expect([after.etag, after.text]).toEqual([before.etag, before.text]);
  });

  test('[U10] a list needs a token, and shows what that may read', async () => {
    for (const token of [undefined, 'nonsense', await mint({ exp: 1_000 })]) {
      const refused = await ask(one.url, '/documents', { token });
      expect([refused.status, refused.text]).toEqual([401, expect.not.stringContaining(NAME)]);
    }
    const token = await mint({ access: { 'other/*': 'admin' } });
    expect((await ask(one.url, '/documents', { token })).json).toEqual({ names: [], cursor: null });
  });

  test('[U10] nothing of a body is read before it is known who asks', async () => {
    const path = at(NAME);
    expect(told(await ask(one.url, path, { method: 'PATCH', body: 'no JSON' }))).toBe('401 unauthorized');
    expect(told(await ask(one.url, path, { method: 'PATCH', body: 'x'.repeat(10_000_000) }))).toBe(
      '401 unauthorized',
    );
  });

  test('[U10] another name needs rights of its own', async () => {
    const token = await mint({ access: { 'notes/*': 'admin', 'read/*': 'read', 'write/*': 'write' } });
    const to = async (word: string, name: string) =>
      told(await ask(one.url, at(NAME, `/${word}`), { method: 'POST', body: { to: name }, token }));
    expect(await to('rename', 'write/it')).toBe('403 forbidden');
    expect(await to('rename', 'other')).toBe('403 forbidden');
    expect(await to('duplicate', 'read/it')).toBe('403 read_only');
    expect(await to('duplicate', 'a//b')).toBe('400 bad_name');
    expect(await to('duplicate', '\ud83d')).toBe('400 bad_name');
    expect(await to('duplicate', 'write/it')).toBe('201');
  });

  test('[U10] [K7] a user is revoked everywhere by who may do everything only', async () => {
    const token = await mint({ sub: 'mallory', access: { '**': 'write' } });
    const mallory = connectYWebsocket(one.url, NAME, { token });
    await mallory.synced();
    const revoke = async (access: Record<string, string>, body: object) =>
      told(
        await ask(one.url, '/revocations', {
          method: 'POST',
          body,
          token: await mint({ sub: 'root', access }),
        }),
      );
    for (const pattern of ['*', '*/*', 'notes/**', NAME])
      expect(await revoke({ [pattern]: 'admin' }, { user: 'mallory' })).toBe('403 forbidden');
    expect(await revoke({ '**': 'write' }, { user: 'mallory' })).toBe('403 forbidden');
    expect(await revoke({ '**': 'admin' }, {})).toBe('400 bad_revocation');
    expect(await revoke({ '**': 'admin' }, { user: 'mallory' })).toBe('204');
    await mallory.closed();
    expect(mallory.closes).toEqual([{ code: 4403, reason: 'revoked' }]);
    expect(told(await ask(one.url, at(NAME), { token }))).toBe('403 revoked');
  });
});

describe('[U11] bad input', () => {
  let one: TestServer;
  beforeAll(async () => {
    one = await startServer({ limitFrameBytes: 100_000, limitDocumentBytes: 50_000 });
    await one.server.documents.create(NAME, { content: updateOf('text') });
  });

  /** The names of all documents, and the versions of those that are asked for here. */
  async function picture(): Promise<unknown[]> {
    const { documents } = one.server;
    const { names } = await documents.list({ limit: 1_000 });
    const known = names.filter((name) => /^(fuzz|notes)\//.test(name));
    const versions = known.map(async (name) => (await documents.read(name))?.version);
    return [names, await Promise.all(versions)];
  }

  /** Asks, and looks whether anything has changed. */
  async function refused(path: string, asked: Asked): Promise<string> {
    const look = async () => [await picture(), (await ask(one.url, at(NAME, '/statistics'))).json];
    const before = await look();
    const answer = await ask(one.url, path, asked);
    expect(await look()).toEqual(before);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.json).toMatchObject({
      type: `urn:indelible:${answer.code}`,
      title: expect.any(String) as string,
      status: answer.status,
    });
    return told(answer);
  }

  test.each<[string, string, Asked, string]>([
    ['no JSON', at(NAME), { method: 'PATCH', body: '{"operations":' }, '400 bad_request'],
    ['blank JSON', at(NAME), { method: 'PATCH', body: '' }, '400 bad_request'],
    ['another JSON', at(NAME), { method: 'PATCH', body: [] }, '400 bad_request'],
    ['no operation', at(NAME), patch(), '400 bad_request'],
    ['an unknown operation', at(NAME), patch({ op: 'explode' }), '400 bad_request'],
    ['an unknown field', at(NAME), patch({ op: 'append', text: 'x', colour: 1 }), '400 bad_request'],
    ['an index out of range', at(NAME), patch({ op: 'insert', at: 99, text: 'x' }), '422 bad_operation'],
    ['a root of another type', at(NAME), patch({ op: 'push', values: [1] }), '409 wrong_type'],
    ['no update', at(NAME), { method: 'PATCH', body: new Uint8Array([9, 9]) }, '400 bad_update'],
    [
      'a first content that is none',
      at('new'),
      { method: 'POST', body: new Uint8Array([9, 9]) },
      '400 bad_update',
    ],
    ['another media type', at(NAME), { ...patch(), headers: type('text/plain') }, '415 bad_media_type'],
    ['roots that are none', at('new'), { method: 'POST', body: { a: 1 } }, '422 bad_operation'],
    [
      'a root that is no such type',
      at('new', '?type=a:xml'),
      { method: 'POST', body: { a: [1] } },
      '422 bad_operation',
    ],
    ['an unknown document', at('nowhere'), patch({ op: 'append', text: 'x' }), '404 document_missing'],
    ['an unknown path', '/documents/a/b/c', {}, '404 bad_path'],
    ['an unknown method', at(NAME), { method: 'PUT', body: {} }, '405 bad_method'],
    ['a body too large', '/revocations', { method: 'POST', body: 'x'.repeat(200_000) }, '413 body_too_large'],
    [
      'a body too large',
      at(NAME, '/erase'),
      { method: 'POST', body: 'x'.repeat(200_000) },
      '413 body_too_large',
    ],
    ['a bad name', '/documents/a%2F%2Fb', {}, '400 bad_name'],
    ['a name that is no UTF-8', '/documents/%ff', {}, '400 bad_name'],
    ['a body too large', at(NAME), patch({ op: 'append', text: 'x'.repeat(200_000) }), '413 body_too_large'],
    [
      'a document too large',
      at(NAME),
      patch({ op: 'append', text: 'x'.repeat(60_000) }),
      '413 document_too_large',
    ],
    [
      '10,000 levels',
      at(NAME),
      { method: 'PATCH', body: `{"operations":${nested(10_000)}}` },
      '400 bad_request',
    ],
    [
      '10,000 levels in a value',
      at(NAME),
      { method: 'PATCH', body: `{"operations":[{"op":"push","root":"list","values":${nested(10_000)}}]}` },
      '422 bad_operation',
    ],
    [
      '10,000 levels in a first content',
      at('new'),
      { method: 'POST', body: `{"a":${nested(10_000)}}` },
      '422 bad_operation',
    ],
    ['no target', at(NAME, '/rename'), { method: 'POST', body: {} }, '400 bad_request'],
    ['a format', at(NAME, '?format=html'), {}, '400 bad_request'],
    ['a type', at(NAME, '?type=picture'), {}, '400 bad_request'],
  ])('[U11] %s', async (_what, path, asked, expected) => {
    expect(await refused(path, asked)).toBe(expected);
  });

  test('[U11] a document in quarantine', async () => {
    const storage = await createStorage('postgres');
    const { url, server } = await startServer(storage);
    await server.documents.create(NAME, { content: updateOf('text') });
    await (
      await openStorage(storage)
    ).queries.query(
      `insert into indelible.snapshots (document, checksum, state) select id, 1, 'no snapshot' from indelible.documents`,
    );
    for (const asked of [{}, patch({ op: 'append', text: 'x' })])
      expect(told(await ask(url, at(NAME), asked))).toBe('503 document_unavailable');
  });

  test('[U11] whatever is sent to any route is answered, or refused with a code of the table, which changes nothing', async () => {
    const anything = fc.oneof(
      fc.constant({ content: 'text', list: [1], map: { a: 1 } }),
      fc.constant({ operations: [{ op: 'append', text: 'x' }] }),
      fc.constant({ to: 'fuzz/3' }),
      fc.json(),
      fc.string(),
      fc.uint8Array({ maxLength: 200 }),
      fc.record(
        {
          operations: fc.array(
            fc.record(
              {
                op: fc.constantFrom('insert', 'delete', 'replace', 'append', 'set', 'format', 'push', 'move'),
                root: fc.constantFrom('content', 'list', 'map', '__proto__'),
                path: fc.array(fc.oneof(fc.string(), fc.nat(3)), { maxLength: 3 }),
                at: fc.oneof(fc.nat(10), fc.record({ relative: fc.base64String() })),
                length: fc.nat(5),
                text: fc.string(),
                find: fc.string(),
                with: fc.string(),
                key: fc.string(),
                value: fc.jsonValue(),
                values: fc.array(fc.jsonValue(), { maxLength: 3 }),
                attributes: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 2 }),
                from: fc.nat(3),
                to: fc.nat(3),
              },
              { requiredKeys: ['op'] },
            ),
            { maxLength: 3 },
          ),
          to: fc.string(),
          user: fc.string(),
        },
        { requiredKeys: [] },
      ),
    );
    const paths = ['', '/connections', '/statistics', '/restore', '/erase', '/rename', '/duplicate'].map(
      (rest) => (name: string) => at(name, rest),
    );
    const others = ['/documents', '/revocations', '/openapi.json'].map((path) => () => path);
    const headers = fc.dictionary(
      fc.constantFrom('If-Match', 'If-None-Match', 'Idempotency-Key', 'Content-Type', 'Range', 'Accept'),
      fc.oneof(fc.stringMatching(/^[!-~]{1,20}$/), fc.constantFrom('*', '"x"', 'W/"x"', 'application/json')),
      { maxKeys: 3 },
    );
    const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PATCH', 'DELETE');
    const query = fc.dictionary(
      fc.constantFrom('format', 'root', 'type', 'relative', 'path', 'limit', 'prefix', 'cursor', 'x'),
      fc.oneof(fc.string(), fc.constantFrom('json', 'text', 'yjs', 'map', '1,2', '[]')),
      { maxKeys: 3 },
    );
    const seen = vi.fn<(status: number) => void>();
    let before = await picture();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('fuzz/1', 'fuzz/2'),
        fc.oneof(
          { arbitrary: fc.constant((name: string) => at(name)), weight: 5 },
          fc.constantFrom(...paths, ...others, accessTo),
        ),
        method,
        query,
        headers,
        anything,
        async (name, pathOf, verb, parameters, given, body) => {
          const search = new URLSearchParams(parameters).toString();
          const path = `${pathOf(name)}?${search}`;
          const hasBody = verb !== 'GET' && verb !== 'HEAD';
          const answer = await ask(one.url, path, { method: verb, headers: given, ...(hasBody && { body }) });
          seen(answer.status);
          expect(answer.status).not.toBe(500);
          const hasCode = answer.status < 400 || verb === 'HEAD' || CODES.has(answer.code ?? '');
          expect(hasCode, `${verb} ${path}: ${answer.status} ${answer.text}`).toBe(true);
          const after = await picture();
          expect(after).toEqual(answer.status < 400 ? after : before);
          before = after;
        },
      ),
      { numRuns: 1_000 },
    );
    const statuses = new Set(seen.mock.calls.map(([status]) => status));
    for (const status of [200, 201, 204, 400, 404]) expect(statuses).toContain(status);
    expect(one.log.filter(({ msg }) => msg === 'a request failed')).toEqual([]);
  }, 60_000);
});

test('[U12] the API describes all of its routes, and shows them on a page', async () => {
  const { url } = await startServer();
  const { json } = await ask(url, '/openapi.json');
  const { paths, openapi } = json as { openapi: string; paths: Record<string, Record<string, unknown>> };
  expect(openapi).toBe('3.1.0');
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const expected = ROUTES.filter(([, , { method }]) => method !== 'HEAD').map(
    ([, path, { method = 'GET' }]) => {
      const name = encodeURIComponent(NAME);
      return `${method} /api${path.replace(name, '{name}')}`;
    },
  );
  expect(described.toSorted()).toEqual([...new Set([...expected, 'GET /api/documents'])].toSorted());
  const page = await fetch(`${url}/api`);
  const text = await page.text();
  expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'/);
  expect(text).not.toContain('<script');
  for (const title of described) expect(text).toContain(title);
});

test('[U13] requests count for the rates of their user', async () => {
  const { url, server } = await startServer({ jwtSecret: SECRET, limitUserFrames: 2 });
  await server.documents.create(NAME);
  const [token, other] = [await mint(), await mint({ sub: 'bob' })];
  const statuses: string[] = [];
  // What comes in ten seconds may come at once.
  for (let request = 0; request < 30; request += 1) statuses.push(told(await ask(url, at(NAME), { token })));
  expect(statuses.slice(0, 20)).toEqual(Array<string>(20).fill('200'));
  const refused = await ask(url, at(NAME), { token });
  expect([told(refused), refused.headers.get('retry-after')]).toEqual(['429 too_many_requests', '1']);
  expect((await ask(url, at(NAME), { token: other })).status).toBe(200);
});

test('[U13] bytes count, also of a body whose length is not said, and of what is wrong', async () => {
  const limits = { limitUserBytes: 4_000, limitFrameBytes: 20_000 };
  const { url } = await startServer({ jwtSecret: SECRET, ...limits });
  const send = async (isSaid: boolean, token: string, bytes = 15_000) => {
    const body = new Blob(['x'.repeat(bytes)]);
    const response = await fetch(`${url}/api${at(NAME)}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      // A stream goes in pieces.
      body: isSaid ? body : body.stream(),
      duplex: 'half',
    } as RequestInit);
    await response.text();
    return response.status;
  };
  for (const [isSaid, sub] of [
    [true, 'anna'],
    [false, 'bob'],
  ] as const) {
    const token = await mint({ sub });
    const statuses: number[] = [];
    for (let request = 0; request < 4; request += 1) statuses.push(await send(isSaid, token));
    // What comes in ten seconds may come at once, and what is over that when it has come.
    expect(statuses, sub).toEqual([400, 400, 400, 429]);
  }
  // Of one that is too large what was read of it.
  const carol = await mint({ sub: 'carol' });
  const statuses: number[] = [];
  for (let request = 0; request < 4; request += 1) statuses.push(await send(false, carol, 25_000));
  expect(statuses).toEqual([413, 413, 413, 429]);
});

test('[U13] a user has one allowance, for sockets, lists and every token', async () => {
  const { url, server } = await startServer({ jwtSecret: SECRET, limitUserFrames: 1 });
  await server.documents.create(NAME);
  const [some, others] = [
    await mint({ access: { 'notes/*': 'write' } }),
    await mint({ access: { 'x/*': 'read' } }),
  ];
  const anna = await joinAs('y-websocket', url, NAME, some);
  for (let edit = 0; edit < 8; edit += 1) anna.type(`${edit} `);
  await vi.waitFor(() => expect(anna.acks()).toHaveLength(8));
  const statuses: number[] = [];
  for (let request = 0; request < 12; request += 1)
    statuses.push((await ask(url, '/documents', { token: request % 2 === 0 ? some : others })).status);
  expect([statuses[0], statuses.at(-1)]).toEqual([200, 429]);
  expect((await ask(url, '/documents', { token: await mint({ sub: 'bob', access: {} }) })).status).toBe(200);
});

test('[U11] If-Match is refused where it would not be heeded', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), { method: 'POST', body: { content: 'text' } });
  const { etag } = await ask(url, at(NAME));
  const headers = { 'If-Match': String(etag) };
  for (const [method, path] of [
    ['POST', at('new')],
    ['DELETE', at(NAME)],
    ...['restore', 'erase', 'duplicate', 'rename'].map((word) => ['POST', at(NAME, `/${word}`)] as const),
  ] as const)
    expect(told(await ask(url, path, { method, headers, body: { to: 'new' } })), path).toBe(
      '400 bad_request',
    );
  expect((await ask(url, '/documents')).json).toEqual({ names: [NAME], cursor: null });
});

test('[U11] pages of other origins are refused, and those that may ask see what they need', async () => {
  const app = 'https://app.example';
  const { url } = await startServer({ jwtSecret: SECRET, allowedOrigins: [app] });
  expect(told(await ask(url, at(NAME), { headers: { Origin: 'https://evil.example' } }))).toBe(
    '403 forbidden_origin',
  );
  const preflight = await ask(url, at(NAME), {
    method: 'OPTIONS',
    headers: { Origin: app, 'Access-Control-Request-Method': 'PATCH' },
  });
  expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH');
  expect(preflight.headers.get('access-control-allow-headers')).toContain('Idempotency-Key');
  const token = await mint();
  await ask(url, at(NAME), { method: 'PATCH', body: typist()('x'), token });
  const answer = await ask(url, at(NAME), { token, headers: { Origin: app } });
  expect(answer.headers.get('access-control-expose-headers')).toContain('ETag');
});
