import { beforeAll, describe, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { ask, at, patch, told } from '../helpers/api.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { textOf } from '../helpers/editor.ts';
import { clusterOptions, startInstance } from '../helpers/instances.ts';
import { documentsBecome, valueOf } from '../helpers/metrics.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const NAME = 'notes/today';

describe('[U1] a list', () => {
  let url: string;
  beforeAll(async () => {
    const { server, url: address } = await startServer({ jwtSecret: SECRET });
    url = address;
    for (const name of ['a/1', 'a/2', 'a/3', 'b/1', 'b/2']) await server.documents.create(name);
  });

  test('[U1] shows what a token may read, whole pages of it', async () => {
    const token = await mint({ access: { 'a/2': 'write', 'b/*': 'read' } });
    expect((await ask(url, '/documents', { token })).json).toEqual({
      names: ['a/2', 'b/1', 'b/2'],
      cursor: null,
    });
    const first = await ask(url, '/documents?limit=2', { token });
    expect(first.json).toEqual({ names: ['a/2', 'b/1'], cursor: 'b/1' });
    const next = await ask(url, '/documents?limit=2&cursor=b%2F1', { token });
    expect(next.json).toEqual({ names: ['b/2'], cursor: null });
    expect((await ask(url, '/documents?prefix=a%2F', { token })).json).toEqual({
      names: ['a/2'],
      cursor: null,
    });
    expect((await ask(url, '/documents?cursor=a%0Ax', { token })).status).toBe(400);
    const stranger = await mint({ access: {} });
    expect((await ask(url, '/documents', { token: stranger })).json).toEqual({ names: [], cursor: null });
  });

  test('[U1] looks at so many names at a time, and tells none that a token may not read', async () => {
    const { server, url: large } = await startServer({ jwtSecret: SECRET });
    const names = Array.from({ length: 1_100 }, (_, index) => `secret/${String(index).padStart(5, '0')}`);
    for (const name of [...names, 'told']) await server.documents.create(name);
    const token = await mint({ access: { told: 'read' } });
    const first = await ask(large, '/documents?limit=10', { token });
    const { cursor } = first.json as { cursor: string };
    expect(first.text).not.toContain('secret');
    expect(cursor).not.toContain('secret');
    const next = () => ask(large, `/documents?limit=10&cursor=${encodeURIComponent(cursor)}`, { token });
    expect((await next()).json).toEqual({ names: ['told'], cursor: null });
    // One that is deleted meanwhile takes none along, be it where the list has come to.
    await server.documents.delete('secret/00001');
    expect((await next()).json).toEqual({ names: ['told'], cursor: null });
    await server.documents.delete('secret/00999');
    const again = (await next()).json as { names: string[]; cursor: string };
    expect(again.names).toEqual([]);
    const last = await ask(large, `/documents?cursor=${encodeURIComponent(again.cursor)}`, { token });
    expect(last.json).toEqual({ names: ['told'], cursor: null });
  });

  test.each(['limit=0', 'limit=1001', 'limit=x', 'limits=3'])('[U1] [U11] refuses %s', async (query) => {
    expect((await ask(url, `/documents?${query}`, { token: await mint() })).status).toBe(400);
  });
});

describe('reading', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
    await server.server.documents.transact(NAME, (doc) => {
      doc.getText('content').applyDelta([{ insert: 'bold', attributes: { bold: true } }, { insert: ' 😀' }]);
      doc.getMap('meta').set('title', 'Notes');
      doc.getXmlFragment('page').push([new Y.XmlElement('p')]);
    });
  });

  test('[U2] all roots, one, or the text of one', async () => {
    const { url } = server;
    const content = [{ insert: 'bold', attributes: { bold: true } }, { insert: ' 😀' }];
    const page = { type: 'doc', content: [{ type: 'p' }] };
    expect((await ask(url, at(NAME))).json).toEqual({ content, meta: { title: 'Notes' }, page });
    expect((await ask(url, at(NAME, '?root=meta'))).json).toEqual({ title: 'Notes' });
    const text = await ask(url, at(NAME, '?format=text'));
    expect([text.text, text.headers.get('content-type')]).toEqual(['bold 😀', 'text/plain; charset=UTF-8']);
    expect(told(await ask(url, at(NAME, '?format=text&root=meta')))).toBe('409 wrong_type');
    expect((await ask(url, at(NAME, '?root=nothing&type=array'))).json).toEqual([]);
    for (const odd of ['constructor', '__proto__', 'toString']) {
      for (const format of ['json', 'text'])
        expect(told(await ask(url, at(NAME, `?root=${odd}&format=${format}`)))).toBe('200');
      expect((await ask(url, at(NAME, `?root=${odd}&type=array`))).json).toEqual([]);
    }
    const several = await ask(url, at(NAME, '?type=none:map&type=text:text'));
    expect(several.json).toMatchObject({ none: {}, text: [] });
    expect(told(await ask(url, at(NAME, '?root=content&type=map')))).toBe('409 wrong_type');
  });

  test('[U2] all of it as an update', async () => {
    const response = await fetch(`${server.url}/api${at(NAME, '?format=yjs')}`);
    const doc = new Y.Doc();
    Y.applyUpdate(doc, new Uint8Array(await response.arrayBuffer()));
    expect(textOf(doc)).toBe('bold 😀');
  });

  test('[U2] a document that is not there, or is deleted, says so', async () => {
    const { url } = server;
    expect(told(await ask(url, at('nowhere')))).toBe('404 document_missing');
    await server.server.documents.create('gone');
    await server.server.documents.delete('gone');
    expect(told(await ask(url, at('gone')))).toBe('404 document_deleted');
    expect(told(await ask(url, at('nowhere', '/statistics')))).toBe('404 document_missing');
    expect(told(await ask(url, at('nowhere', '/connections')))).toBe('404 document_missing');
  });

  test('[U3] If-None-Match is answered without content, and HEAD as GET', async () => {
    const { url } = server;
    const { etag } = await ask(url, at(NAME));
    expect(etag).toMatch(/^"[A-Za-z0-9+/=]{20,}"$/);
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const same = await ask(url, at(NAME), { headers: { 'If-None-Match': header ?? '' } });
      expect([same.status, same.etag, same.text]).toEqual([304, etag, '']);
    }
    expect((await ask(url, at(NAME), { headers: { 'If-None-Match': '"other"' } })).status).toBe(200);
    const head = await ask(url, at(NAME), { method: 'HEAD' });
    expect([head.status, head.etag, head.text]).toEqual([200, etag, '']);
    expect((await ask(url, at('nowhere'), { method: 'HEAD' })).status).toBe(404);
  });

  test('[O12] what is stored, and who is there', async () => {
    const { url } = server;
    const alice = connectYWebsocket(url, NAME);
    await alice.synced();
    const statistics = await ask(url, at(NAME, '/statistics'));
    expect(statistics.json).toMatchObject({ rows: 1, connections: 1, people: 1, setAside: 0 });
    const { json } = await ask(url, at(NAME, '/connections'));
    expect(json).toMatchObject({ connections: [{ user: null, access: 'admin', protocol: 'y-websocket' }] });
  });
});

test('[U3] the ETag is another one with each change, and the same at other instances, cold, and after folding', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const alice = connectYWebsocket(one.url, NAME, { acks: true });
  await alice.synced();
  const text = alice.doc.getText('content');
  const seen = new Set<string | null>();
  for (let edit = 0; edit < 120; edit += 1) {
    // The last of them only delete, and change no state vector.
    if (edit < 100) text.insert(0, `edit ${edit} `);
    else text.delete(0, 1);
    await alice.saved();
    if (edit % 20 === 19 || edit > 110) seen.add((await ask(one.url, at(NAME))).etag);
  }
  expect(seen.size).toBe(5 + 9);
  const { etag } = await ask(one.url, at(NAME));
  await vi.waitFor(async () => expect((await ask(other.url, at(NAME))).etag).toBe(etag), 5_000);
  alice.destroy();
  await documentsBecome(one.url, 0, 20_000);
  expect(await valueOf(one.url, 'indelible_folds_total', { result: 'folded' })).toBeGreaterThan(0);
  for (const { url } of [one, other]) expect((await ask(url, at(NAME))).etag).toBe(etag);
  await ask(other.url, at(NAME), patch({ op: 'append', text: '!' }));
  expect((await ask(one.url, at(NAME))).etag).not.toBe(etag);
}, 60_000);
