import { decodeJwt } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { ApiError, IndelibleClient } from '../server/client.ts';
import { createToken } from '../server/token.ts';
import { connectYWebsocket } from './helpers/clients.ts';
import { textOf, updateOf } from './helpers/editor.ts';
import { startServer } from './helpers/server.ts';
import { SECRET } from './helpers/tokens.ts';

const NAME = 'notes/today';

const problem = (code: string) => expect.objectContaining({ name: 'ApiError', code }) as ApiError;

/** A way to the server on which this happens to each request in turn; later ones arrive. */
function faulty(...faults: ((send: () => Promise<Response>) => Promise<Response>)[]) {
  return vi.fn<typeof fetch>(async (input, init) => {
    const send = () => fetch(input, init);
    const fault = faults.shift();
    return fault === undefined ? send() : fault(send);
  });
}
const lost = () => Promise.reject(new TypeError('fetch failed'));
const answerLost = async (send: () => Promise<Response>) => {
  await send();
  throw new TypeError('fetch failed');
};
const bodyCut = async (send: () => Promise<Response>) => {
  const { status, headers } = await send();
  const body = new ReadableStream({ start: (controller) => controller.error(new TypeError('terminated')) });
  return new Response(body, { status, headers });
};
const refusal = (status: number, code: string) => () =>
  Promise.resolve(new Response(JSON.stringify({ code }), { status, headers: { 'Retry-After': '0' } }));
const busy = refusal(503, 'database_unavailable');
const pending = refusal(504, 'commit_pending');
const page = () => Promise.resolve(new Response('<h1>Forbidden</h1>', { status: 403 }));

const token = () => createToken({ secret: SECRET, user: 'robot', access: { '**': 'admin' } });

async function start(): Promise<{ url: string; client: IndelibleClient }> {
  const { url } = await startServer({ jwtSecret: SECRET });
  return { url, client: new IndelibleClient({ url, token }) };
}

test('[U14] does all of the API', async () => {
  const { url, client } = await start();
  await client.create(NAME, { content: 'one', meta: { tags: ['a'] } });
  expect(await client.list({ prefix: 'notes/' })).toEqual({ names: [NAME], cursor: null });
  expect((await client.json(NAME, { root: 'meta' })).content).toEqual({ tags: ['a'] });
  const { content, etag, positions } = await client.text(NAME, { relative: [3] });
  expect([content, await client.etag(NAME), positions.length]).toEqual(['one', etag, 1]);
  const [end = ''] = positions;
  const next = await client.patch(NAME, [{ op: 'insert', at: { relative: end }, text: ' two' }], {
    ifMatch: etag,
  });
  const moved = await client
    .patch(NAME, [{ op: 'append', text: '!' }], { ifMatch: etag })
    .catch((error) => error as ApiError);
  expect(moved).toEqual(problem('document_changed'));
  expect((moved as ApiError).etag).toBe(next);
  const other = new Y.Doc();
  Y.applyUpdate(other, (await client.update(NAME)).content);
  expect(textOf(other)).toBe('one two');
  other.getText('content').insert(7, ' three');
  const update = Y.encodeStateAsUpdate(other);
  expect(await client.applyUpdate(NAME, update)).toBe(await client.etag(NAME));

  const hers = await createToken({ secret: SECRET, user: 'anna', access: { '**': 'write' } });
  const anna = connectYWebsocket(url, NAME, { token: hers });
  await anna.sees((doc) => textOf(doc) === 'one two three');
  expect(await client.connections(NAME)).toMatchObject([{ user: 'anna', access: 'write' }]);
  expect(await client.statistics(NAME)).toMatchObject({ connections: 1 });
  expect(await client.access(NAME)).toEqual({ user: 'robot', access: 'admin' });
  await client.revoke({ user: 'anna' });
  await anna.closed();

  await client.duplicate(NAME, 'copy');
  await client.rename('copy', 'moved');
  await client.delete('moved');
  expect(await client.etag('moved')).toBeNull();
  await client.restore('moved');
  expect((await client.text('moved')).content).toBe('one two three');
  await client.erase('moved');
  await expect(client.text('moved')).rejects.toThrow(problem('document_deleted'));
  await client.create('bytes', updateOf('bytes'));
  expect((await client.text('bytes')).content).toBe('bytes');
});

describe('[U14] what does not arrive', () => {
  test('[U14] is tried again, and done once', async () => {
    const { url } = await startServer();
    const sent = faulty(lost, busy, answerLost, answerLost);
    const client = new IndelibleClient({ url, fetch: sent });
    await client.create(NAME, { content: 'text' });
    expect(sent).toHaveBeenCalledTimes(5);
    const again = faulty(answerLost, answerLost);
    await new IndelibleClient({ url, fetch: again }).patch(NAME, [{ op: 'append', text: '!' }]);
    const cut = new IndelibleClient({ url, fetch: faulty(bodyCut, bodyCut) });
    expect((await cut.text(NAME)).content).toBe('text!');
  });

  test('[U14] is given up at some time, when it is told so, and where it would never help', async () => {
    const { url } = await startServer();
    const give = (...args: Parameters<typeof faulty>) => ({ url, fetch: faulty(...args), retries: 1 });
    await expect(new IndelibleClient(give(lost, lost)).text(NAME)).rejects.toThrow(
      new TypeError('fetch failed'),
    );
    const missing = give();
    await expect(new IndelibleClient(missing).text(NAME)).rejects.toThrow(problem('document_missing'));
    expect(missing.fetch).toHaveBeenCalledTimes(1);
    // What was refused later says nothing of what may have been done before.
    const patch = (...args: Parameters<typeof faulty>) =>
      new IndelibleClient(give(...args)).patch(NAME, [{ op: 'append', text: 'x' }]);
    await expect(patch(pending, busy)).rejects.toThrow(problem('commit_pending'));
    await expect(patch(lost, busy)).rejects.toThrow(new TypeError('fetch failed'));
    await expect(patch(busy, pending)).rejects.toThrow(problem('commit_pending'));
    await expect(patch(busy, busy)).rejects.toThrow(problem('database_unavailable'));
    const controller = new AbortController();
    const never = {
      url,
      fetch: faulty(async () => (controller.abort(new Error('enough')), lost())),
      retries: 1_000,
    };
    const patching = new IndelibleClient(never).patch(NAME, [{ op: 'append', text: 'x' }], {
      signal: controller.signal,
    });
    await expect(patching).rejects.toThrow(new Error('enough'));
  });

  test('[U14] what something on the way answers is said as it is', async () => {
    const client = new IndelibleClient({ url: 'http://127.0.0.1:9', fetch: faulty(page) });
    await expect(client.text(NAME)).rejects.toThrow(
      expect.objectContaining({ code: 'unknown', status: 403 }) as Error,
    );
  });
});

test('[U14] a token says what it was made of, and nothing else is made one', async () => {
  const options = { secret: SECRET, user: 'anna', access: { 'notes/*': 'write' as const } };
  const made = await createToken({ ...options, name: 'Anna', lifetime: 60, issuer: 'me', audience: 'you' });
  const claims = decodeJwt(made);
  expect(claims).toMatchObject({
    sub: 'anna',
    name: 'Anna',
    access: { 'notes/*': 'write' },
    iss: 'me',
    aud: 'you',
  });
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(60);
  for (const wrong of [
    { user: '' },
    { secret: 'short' },
    { access: { a: 'all' } },
    { lifetime: -1 },
    { colour: 'red' },
  ])
    await expect(createToken({ ...options, ...wrong } as never)).rejects.toThrow(TypeError);
});
