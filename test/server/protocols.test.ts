import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Client, connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage, openStorage, rebuild } from '../helpers/storage.ts';

const ROOM = 'protocols/today/draft';

function type(client: Client<unknown>, text: string): void {
  const content = client.doc.getText('content');
  content.insert(content.length, text);
}

const reads = (client: Client<unknown>, text: string) => client.sees((doc) => textOf(doc) === text);

describe('unmodified providers', () => {
  test('[W1] of both kinds edit one document, and find what they typed apart after a restart', async () => {
    const storage = await createStorage('postgres');
    const first = await startServer(storage);
    const port = Number(new URL(first.url).port);
    const anna = connectYWebsocket(first.url, ROOM, { acks: true });
    const bert = connectHocuspocus(first.url, ROOM);
    await Promise.all([anna.synced(), bert.synced()]);
    type(anna, 'a');
    await reads(bert, 'a');
    type(bert, 'b');
    await reads(anna, 'ab');

    await first.server.close();
    await Promise.all([anna.closed(), bert.closed()]);
    expect([anna.closes[0]?.code, bert.closes[0]?.code]).toEqual([1012, 1012]);
    anna.doc.getMap('offline').set('anna', true);
    bert.doc.getMap('offline').set('bert', true);
    await startServer({ ...storage, port });
    for (const client of [anna, bert]) {
      await client.sees((doc) => doc.getMap('offline').size === 2);
    }
    await Promise.all([anna.saved(), bert.saved()]);
    const stored = await rebuild(await openStorage(storage), ROOM);
    expect(stored?.getMap('offline').toJSON()).toEqual({ anna: true, bert: true });
    expect(stored && textOf(stored)).toBe('ab');
  });

  test('[W3] unsyncedChanges reaches 0 when everything is committed, and not before', async () => {
    const cluster = await startPostgres();
    const { url } = await startServer({ databaseUrl: cluster.url });
    const [anna, bert] = [connectHocuspocus(url, ROOM), connectHocuspocus(url, ROOM)];
    await Promise.all([anna.saved(), bert.saved()]);
    const seen: number[] = [];
    anna.provider.on('unsyncedChanges', ({ number }: { number: number }) => seen.push(number));
    cluster.freeze();
    for (const letter of 'abc') {
      type(anna, letter);
      await reads(bert, textOf(anna.doc));
    }
    expect(seen).toEqual([1, 2, 3]);
    cluster.thaw();
    await anna.saved();
    expect(seen).toEqual([1, 2, 3, 2, 1, 0]);
    const stored = await rebuild(await openStorage({ databaseUrl: cluster.url }), ROOM);
    expect(stored && textOf(stored)).toBe('abc');
  });
});

describe('what a y-websocket client gets', () => {
  const KNOWN = ['step1', 'step2', 'update', 'awareness'];

  test.each([
    ['', KNOWN],
    ['?acks=1', [...KNOWN, 'sync-status']],
    ['?acks=0', KNOWN],
  ])('[W2] with %j in its URL: %j', async (query, expected) => {
    const { url } = await startServer();
    const client = await rawYWebsocket(`${url}/${ROOM}${query}`);
    const editor = await joinAs('hocuspocus', url, ROOM);
    const { doc } = editor;
    client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
    client.send({ type: 'step2', update: Y.encodeStateAsUpdate(doc) });
    client.send({ type: 'query-awareness' });
    await client.next('step2');
    editor.type('hello');
    await editor.ack();
    client.send({ type: 'update', update: Y.encodeStateAsUpdate(doc) });
    // Everything before it is answered by now.
    editor.type(' again');
    await editor.ack();
    await client.next('update');
    await client.next('update');
    expect([...new Set(client.frames.map((frame) => frame.type))].toSorted()).toEqual(expected.toSorted());
  });

  test('[W2] when its document cannot be opened: the refusal that it knows, and a close', async () => {
    const { url } = await startServer({
      onLoad: () => Promise.reject(new Error('no first content')),
    });
    const client = await rawYWebsocket(`${url}/${ROOM}`);
    const { reason } = await client.next('denied');
    expect(await client.closed()).toEqual({ code: 4503, reason });
    expect(client.frames.map((frame) => frame.type)).toEqual(['denied']);
  });

  test('[W2] when the server stops: a close, and no frame before it', async () => {
    const { url, server } = await startServer();
    const client = await rawYWebsocket(`${url}/${ROOM}`);
    client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
    await client.next('step2');
    await server.close();
    expect(await client.closed()).toEqual({ code: 1012, reason: 'draining' });
    expect(client.frames.map((frame) => frame.type).toSorted()).toEqual(['step1', 'step2']);
  });
});

test('[W6] one edit reaches clients of both kinds as it was sent, in whatever order they joined', async () => {
  const { url } = await startServer();
  const kinds = [...PROTOCOLS, ...PROTOCOLS, ...PROTOCOLS];
  const readers = [];
  for (const kind of kinds) {
    const reader = await joinAs(kind, url, ROOM);
    expect(textOf(await reader.ask())).toBe('');
    readers.push(reader);
  }
  const author = await joinAs('y-websocket', url, ROOM);
  const update = author.type('hello');
  for (const { client } of readers) {
    const received = await client.next('update');
    expect(Buffer.compare(received.update, update)).toBe(0);
  }
});

describe.each(PROTOCOLS)('frames that the server has no use for, over %s', (protocol) => {
  test('[W8] are ignored', async () => {
    const { url } = await startServer();
    const [editor, other] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    const { client } = editor;
    client.send({ type: 'stateless', payload: 'hello' }, ROOM);
    client.send({ type: 'unknown', code: 6, body: new Uint8Array([1, 65]) }, ROOM);
    client.send({ type: 'unknown', code: 200, body: new Uint8Array([1, 2, 3]) }, ROOM);
    client.send({ type: 'sync-status', saved: true }, ROOM);
    client.send({ type: 'ping' }, ROOM);
    client.send({ type: 'pong' }, ROOM);
    editor.type('still here');
    expect(await editor.ack()).toBe(true);
    await other.client.next('update');
    const usual = new Set(['authenticated', 'awareness', 'update', 'sync-status']);
    const frames = [...client.frames, ...other.client.frames];
    expect(frames.filter((frame) => !usual.has(frame.type))).toEqual([]);
  });
});

describe('names', () => {
  const BAD = ['a//b', 'a%01b', 'e%CC%81', 'x'.repeat(256), '%'];

  test.each(BAD)('[W7] %j is refused with 400', async (path) => {
    const { url } = await startServer();
    await expect(rawYWebsocket(`${url}/${path}`)).rejects.toMatchObject({ status: 400, body: 'bad_name\n' });
  });

  test.each(['a//b', 'a/../b', 'a\u0001b', 'e\u0301', 'x'.repeat(256), '/'])(
    '[W7] %j is refused to a Hocuspocus client, whose other documents stay',
    async (name) => {
      const { url } = await startServer();
      const client = await rawHocuspocus(url);
      client.send({ type: 'token', token: '' }, ROOM);
      await client.next('authenticated');
      client.send({ type: 'token', token: '' }, name);
      expect(await client.next('denied')).toMatchObject({ reason: 'bad_name', address: name });
      client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, ROOM);
      await client.next('step2');
    },
  );

  test('[W7] one name is one document, raw or encoded, over either protocol', async () => {
    const { url } = await startServer();
    const name = 'names/naïve ☃/100%';
    const [raw, encoded] = [name.replaceAll('%', '%25'), encodeURIComponent(name)];
    const author = await joinAs('hocuspocus', url, name);
    author.type('hello');
    await author.ack();
    for (const path of [raw, encoded]) {
      const client = await rawYWebsocket(`${url}/${path}`);
      client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
      const doc = new Y.Doc();
      Y.applyUpdate(doc, (await client.next('step2')).update);
      expect(textOf(doc)).toBe('hello');
    }
  });
});
