import { Redis } from 'ioredis';
import { expect, inject, test, vi } from 'vitest';
import type { IndelibleError } from '../../server/errors.ts';
import type { ServerOptions } from '../../server/index.ts';
import { ask, at, patch } from '../helpers/api.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { clusterOptions, startInstance } from '../helpers/instances.ts';
import { documentsBecome } from '../helpers/metrics.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { createStorage, insertRows, openStorage } from '../helpers/storage.ts';

const NAME = 'notes/today';
const GONE = { code: 4404, reason: 'document_deleted' };
/** Instances look every 5 s for what others have deleted. */
const HEARD_MS = 10_000;

const failure = (code: string) => expect.objectContaining({ name: 'IndelibleError', code }) as IndelibleError;

const OPTIONS: [string, () => Promise<ServerOptions>][] = [
  ['with Redis', () => clusterOptions()],
  ['without Redis', () => createStorage('postgres')],
];

test.each(OPTIONS)(
  '[O9] deleting closes connections everywhere, and the name opens nothing until it is restored, %s',
  async (_how, optionsOf) => {
    const options = await optionsOf();
    const start = () => (options.redisUrl === undefined ? startServer(options) : startInstance(options));
    const [one, other] = [await start(), await start()];
    const people = [connectYWebsocket(one.url, NAME, { acks: true }), connectYWebsocket(other.url, NAME)];
    for (const person of people) await person.synced();
    people[0]?.doc.getText('content').insert(0, 'worth keeping');
    await people[0]?.saved();
    await one.server.documents.delete(NAME);
    for (const person of people) {
      await person.closed(1, HEARD_MS);
      expect(person.closes).toEqual([GONE]);
    }
    for (const { server, url } of [one, other]) {
      await documentsBecome(url, 0, 10_000);
      expect(await server.documents.exists(NAME)).toBe(false);
      expect(await server.documents.read(NAME)).toBeNull();
      expect((await server.documents.list()).names).toEqual([]);
      await expect(server.documents.transact(NAME, () => {})).rejects.toThrow(failure('document_deleted'));
      for (const protocol of PROTOCOLS) await expect(open(protocol, url)).resolves.toBe('document_deleted');
    }
    await expect(one.server.documents.delete(NAME)).rejects.toThrow(failure('document_missing'));
    await other.server.documents.restore(NAME);
    const carol = connectHocuspocus(one.url, NAME);
    await carol.sees((doc) => textOf(doc) === 'worth keeping');
    await expect(one.server.documents.restore(NAME)).rejects.toThrow(failure('document_missing'));
  },
  30_000,
);

/** Why a document is refused. */
async function open(protocol: (typeof PROTOCOLS)[number], url: string): Promise<string> {
  const { client } = await joinAs(protocol, url, NAME);
  if (protocol === 'y-websocket') return (await client.closed()).reason;
  return (await client.next('denied')).reason;
}

test('[O9] who has not heard that a document is deleted commits nothing to it', async () => {
  const storage = await createStorage('postgres');
  const [one, other] = [await startServer(storage), await startServer(storage)];
  const late = await joinAs('y-websocket', other.url, NAME);
  late.type('before ');
  expect(await late.ack()).toBe(true);
  await one.server.documents.delete(NAME);
  late.type('after');
  expect(await late.client.closed()).toEqual(GONE);
  expect(late.acks()).toEqual([true]);
  await one.server.documents.restore(NAME);
  expect((await one.server.documents.read(NAME))?.text()).toBe('before ');
});

test('[O9] what is created in the place of a deleted document is another one, and both can be had', async () => {
  const storage = await createStorage('postgres');
  const [one, other] = [await startServer(storage), await startServer(storage)];
  const { documents } = one.server;
  const late = await joinAs('hocuspocus', other.url, NAME);
  late.type('the first');
  expect(await late.ack()).toBe(true);
  await documents.delete(NAME);
  await documents.create(NAME, { content: updateOf('the second') });
  // Its instance has not heard of either.
  late.type(', to which nothing is added');
  expect((await late.client.closed()).reason).toBe('document_deleted');
  expect(late.acks()).toEqual([true]);
  expect((await documents.read(NAME))?.text()).toBe('the second');
  await expect(documents.restore(NAME)).rejects.toThrow(failure('document_exists'));
  await documents.rename(NAME, 'notes/second');
  await documents.restore(NAME);
  expect((await documents.read(NAME))?.text()).toBe('the first');
  expect((await documents.read('notes/second'))?.text()).toBe('the second');
});

test('[O9] [D3] a document that is deleted while it is being opened is closed, and opens again when it is restored', async () => {
  const options = await clusterOptions();
  const { server, url } = await startInstance(options);
  await server.documents.create(NAME, { content: updateOf('text') });
  // Somebody who hears what is asked, and never answers: opening waits for a second.
  const listener = new Redis(inject('redisUrl'));
  atTestEnd(() => listener.disconnect());
  await listener.psubscribe(`${options.redisPrefix}*`);
  const alice = connectYWebsocket(url, NAME);
  await documentsBecome(url, 1, 5_000);
  await server.documents.delete(NAME);
  await alice.closed();
  expect(alice.closes).toEqual([GONE]);
  await server.documents.restore(NAME);
  const bob = connectYWebsocket(url, NAME);
  await bob.sees((doc) => textOf(doc) === 'text');
});

test('[O9] rows that waited while a document was deleted and another one created do not get into that', async () => {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const [near, far] = [await startServer({ databaseUrl }), await startServer({ databaseUrl: line.url })];
  const anna = await joinAs('y-websocket', far.url, NAME);
  anna.type('the first');
  expect(await anna.ack()).toBe(true);
  line.blackHole();
  anna.type(' and what waits');
  await near.server.documents.delete(NAME);
  await near.server.documents.create(NAME, { content: updateOf('the second') });
  line.reset();
  line.heal();
  expect(await anna.client.closed(20_000)).toEqual(GONE);
  expect(anna.acks()).toEqual([true]);
  expect((await near.server.documents.read(NAME))?.text()).toBe('the second');
}, 40_000);

test('[O9] a document that is deleted while its edits wait for the database is not acknowledged', async () => {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const [near, far] = [await startServer({ databaseUrl }), await startServer({ databaseUrl: line.url })];
  const anna = await joinAs('y-websocket', far.url, NAME);
  anna.type('kept');
  expect(await anna.ack()).toBe(true);
  line.blackHole();
  anna.type(' lost with it');
  await near.server.documents.delete(NAME);
  line.reset();
  line.heal();
  expect(await anna.client.closed(HEARD_MS)).toEqual(GONE);
  expect(anna.acks()).toEqual([true]);
});

test('[O10] a renamed document is what it was, and its old name opens nothing', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const { documents } = one.server;
  await documents.create(NAME, { content: updateOf('moved') });
  await documents.create('taken');
  const bob = connectYWebsocket(other.url, NAME);
  await bob.synced();
  await expect(documents.rename(NAME, 'taken')).rejects.toThrow(failure('document_exists'));
  await expect(documents.rename('nowhere', 'elsewhere')).rejects.toThrow(failure('document_missing'));
  await documents.rename(NAME, 'notes/later');
  await bob.closed();
  expect(bob.closes).toEqual([GONE]);
  expect(await open('y-websocket', other.url)).toBe('document_deleted');
  // His copy is the same document.
  const again = connectYWebsocket(other.url, 'notes/later', { doc: bob.doc, acks: true });
  await again.synced();
  bob.doc.getText('content').insert(5, ' on');
  await again.saved();
  expect((await documents.read('notes/later'))?.text()).toBe('moved on');
  await expect(documents.restore(NAME)).rejects.toThrow(failure('document_missing'));
  await documents.rename('notes/later', NAME);
  expect((await documents.read(NAME))?.text()).toBe('moved on');
  await documents.rename(NAME, NAME);
  expect(await documents.exists(NAME)).toBe(true);
});

test('[O10] who has a name open that a document gets sees that document', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  await one.server.documents.create(NAME, { content: updateOf('moved') });
  const people = [one, other].map(({ url }) => connectYWebsocket(url, 'blank'));
  for (const person of people) await person.synced();
  await one.server.documents.rename(NAME, 'blank');
  for (const person of people) {
    await person.sees((doc) => textOf(doc) === 'moved');
    expect(person.closes).toEqual([expect.objectContaining({ reason: 'document_reset' })]);
  }
});

/** Everything in the tables that hold text. */
async function bytesIn({ databaseUrl = '' }: ServerOptions): Promise<string> {
  const database = await openStorage({ databaseUrl });
  const { rows } = await database.queries.query<{ bytes: Buffer }>(
    'select update as bytes from indelible.updates union all select state from indelible.snapshots',
  );
  await database.close();
  return Buffer.concat(rows.map(({ bytes }) => bytes)).toString('latin1');
}

test('[O11] nothing is left of an erased document, whoever was writing to it', async () => {
  const storage = await createStorage('postgres');
  const options = storage as ServerOptions;
  const [one, other] = [await startServer(storage), await startServer(storage)];
  const { documents } = one.server;
  await documents.create('public', { content: updateOf('public') });
  await documents.create(NAME, { content: updateOf('secret') });
  await documents.delete(NAME);
  const writer = await joinAs('y-websocket', other.url, 'other');
  await documents.create(NAME, { content: updateOf('secret, too') });
  const late = await joinAs('y-websocket', other.url, NAME);
  const over = new AbortController();
  const ended = late.client.closed(HEARD_MS).then(() => over.abort());
  const typing = (async () => {
    while (!over.signal.aborted) {
      late.type('secret ');
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await late.ack();
  await documents.erase(NAME);
  await Promise.all([ended, typing]);
  writer.type('still written');
  await writer.ack();
  const bytes = await bytesIn(options);
  expect(bytes).toContain('public');
  expect(bytes).toContain('still written');
  expect(bytes).not.toContain('secret');
  await expect(documents.restore(NAME)).rejects.toThrow(failure('document_missing'));
  await expect(documents.erase('nowhere')).rejects.toThrow(failure('document_missing'));
  // Nothing more of it can be, and it is no mistake to say so twice.
  await documents.erase(NAME);
});

test('[O11] what was deleted long enough ago is erased at a start', async () => {
  const storage = await createStorage('postgres');
  const { server } = await startServer(storage);
  for (const name of ['old', 'new']) {
    await server.documents.create(name, { content: updateOf(`${name} text`) });
    await server.documents.delete(name);
  }
  const database = await openStorage(storage);
  await database.queries.query(
    `update indelible.tombstones set deleted_at = now() - interval '25 hours' where name = 'old'`,
  );
  await server.close();
  const { server: next } = await startServer({ ...storage, keepDeletedHours: 24 });
  await vi.waitFor(
    async () => expect(await bytesIn(storage as ServerOptions)).not.toContain('old text'),
    5_000,
  );
  await expect(next.documents.restore('old')).rejects.toThrow(failure('document_missing'));
  await next.documents.restore('new');
  expect((await next.documents.read('new'))?.text()).toBe('new text');
});

test('[O12] a duplicate holds what people see, and goes its own way', async () => {
  const { server, url } = await startServer();
  const { documents } = server;
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  alice.doc.getText('content').insert(0, 'one');
  await alice.saved();
  await documents.duplicate(NAME, 'notes/copy', { user: 'robot' });
  alice.doc.getText('content').insert(3, ' and more');
  await alice.saved();
  expect((await documents.read('notes/copy'))?.text()).toBe('one');
  await expect(documents.duplicate(NAME, 'notes/copy')).rejects.toThrow(failure('document_exists'));
  await expect(documents.duplicate('nowhere', 'elsewhere')).rejects.toThrow(failure('document_missing'));
});

test('[O12] who is connected is told, at every instance, with what they say of themselves', async () => {
  const options = await clusterOptions({ auth: ({ token }) => ({ user: token, access: 'write' }) });
  const instances = [await startInstance(options), await startInstance(options)];
  const [one, other] = instances as [TestServer, TestServer];
  const anna = connectYWebsocket(one.url, NAME, { token: 'anna' });
  const bob = connectHocuspocus(other.url, NAME, { token: 'bob' });
  for (const [person, name] of [[anna, 'Anna'] as const, [bob, 'Bob'] as const]) {
    await person.synced();
    person.awareness.setLocalStateField('user', { name });
  }
  const expected = [
    {
      user: 'anna',
      access: 'write',
      protocol: 'y-websocket',
      presence: [{ user: { name: 'Anna', id: 'anna' } }],
    },
    {
      user: 'bob',
      access: 'write',
      protocol: 'hocuspocus',
      presence: [{ user: { name: 'Bob', id: 'bob' } }],
    },
  ];
  for (const { server } of instances)
    await vi.waitFor(async () => {
      const connections = await server.documents.connections(NAME);
      expect(connections.toSorted((a, b) => ((a.user ?? '') < (b.user ?? '') ? -1 : 1))).toMatchObject(
        expected,
      );
    }, 5_000);
  expect(await one.server.documents.connections('nobody')).toEqual([]);
});

test('[O12] what is stored of a document is told', async () => {
  const storage = await createStorage('postgres');
  const { server } = await startServer(storage);
  expect(await server.documents.statistics(NAME)).toBeNull();
  const since = Date.now();
  await server.documents.create(NAME);
  const updates = [updateOf('one'), updateOf('two')];
  await insertRows(await openStorage(storage), NAME, updates);
  const statistics = await server.documents.statistics(NAME);
  expect(statistics).toEqual({
    createdAt: expect.any(Number) as number,
    lastEditAt: expect.any(Number) as number,
    rows: 2,
    rowBytes: updates.reduce((sum, { byteLength }) => sum + byteLength, 0),
    snapshotBytes: 0,
    snapshotAt: null,
    setAside: 0,
  });
  expect(statistics?.createdAt).toBeGreaterThan(since - 60_000);
});

test('[O9] [O10] [O11] [U8] the embedded database does all of it, too', async () => {
  const { server, url } = await startServer(await createStorage('embedded'));
  const { documents } = server;
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  alice.doc.getText('content').insert(0, 'kept');
  await alice.saved();
  await documents.delete(NAME);
  await alice.closed();
  expect(alice.closes).toEqual([GONE]);
  await documents.restore(NAME);
  const append = { ...patch({ op: 'append', text: ' once' }), headers: { 'Idempotency-Key': 'k' } };
  for (let time = 0; time < 3; time += 1) expect((await ask(url, at(NAME), append)).status).toBe(204);
  await documents.rename(NAME, 'moved');
  expect((await documents.read('moved'))?.text()).toBe('kept once');
  await documents.erase('moved');
  await expect(documents.restore('moved')).rejects.toThrow(failure('document_missing'));
});
