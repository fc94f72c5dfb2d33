import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { IndelibleError } from '../../server/errors.ts';
import type { DocumentChange } from '../../server/index.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { textOf, typist, updateOf } from '../helpers/editor.ts';
import { throwingUpdate } from '../helpers/hostile.ts';
import { clusterOptions, startInstance, startInstances } from '../helpers/instances.ts';
import { documentsBecome, valueOf } from '../helpers/metrics.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { createStorage, insertRows, openStorage, rebuild } from '../helpers/storage.ts';
import { throwOnNextApply } from '../helpers/thrown.ts';

const NAME = 'notes/today';

const failure = (code: string) => expect.objectContaining({ name: 'IndelibleError', code }) as IndelibleError;

function append(text: string): (doc: Y.Doc) => void {
  return (doc) => doc.getText('content').insert(doc.getText('content').length, text);
}

async function textIn(databaseUrl: string | undefined): Promise<string> {
  const database = await openStorage({ databaseUrl: databaseUrl ?? '' });
  const stored = await rebuild(database, NAME);
  await database.close();
  return stored === null ? '' : textOf(stored);
}

test('[O1] a document is read as people see it, or as it is committed, and stays out of memory', async () => {
  const { server, url } = await startServer();
  const { documents } = server;
  expect(await documents.read(NAME)).toBeNull();
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  // Opened, and nothing more.
  expect(await documents.read(NAME)).toBeNull();
  alice.doc.getText('content').insert(0, 'hello');
  await vi.waitFor(async () => expect((await documents.read(NAME))?.text()).toBe('hello'));
  await alice.saved();
  alice.destroy();
  await documentsBecome(url, 0, 10_000);
  const copy = await documents.read(NAME);
  expect(copy?.text()).toBe('hello');
  expect(copy?.json()).toEqual({ content: [{ insert: 'hello' }] });
  expect(await valueOf(url, 'indelible_documents')).toBe(0);
  // What is done to a copy is nobody's.
  copy?.doc.getText('content').insert(0, 'not ');
  expect((await documents.read(NAME))?.text()).toBe('hello');
});

test('[O1] rows that cannot be applied are left out, as when it is opened', async () => {
  const storage = await createStorage('postgres');
  const { server, url } = await startServer(storage);
  await server.documents.applyUpdate(NAME, typist(7)('sound'));
  await documentsBecome(url, 0, 10_000);
  const database = await openStorage(storage);
  await insertRows(database, NAME, [throwingUpdate(7, 'sound'.length)]);
  expect((await server.documents.read(NAME))?.text()).toBe('sound');
  const { rows } = await database.queries.query(
    'select quarantined from indelible.updates where quarantined is not null',
  );
  expect(rows).toEqual([{ quarantined: 'apply' }]);
});

test('[O2] a change is seen by everybody at once, at every instance, and is committed with its author when it resolves', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const people = [connectYWebsocket(one.url, NAME), connectHocuspocus(other.url, NAME)];
  for (const person of people) await person.synced();
  const length = await one.server.documents.transact(
    NAME,
    (doc) => {
      append('by a program')(doc);
      doc.getMap('meta').set('title', 'Notes');
      return doc.getText('content').length;
    },
    { user: 'robot' },
  );
  expect(length).toBe('by a program'.length);
  const database = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  const { rows } = await database.queries.query('select author from indelible.updates');
  expect(rows).toEqual([{ author: 'robot' }]);
  expect(await textIn(options.databaseUrl)).toBe('by a program');
  for (const person of people) {
    await person.sees((doc) => textOf(doc) === 'by a program' && doc.getMap('meta').get('title') === 'Notes');
  }
});

test('[O2] a change resolves when it is committed, and not before', async () => {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const { server, url } = await startServer({ databaseUrl: line.url });
  const reader = connectYWebsocket(url, NAME);
  await reader.synced();
  line.blackHole();
  let isDone = false;
  const change = server.documents.transact(NAME, append('waits')).then(() => (isDone = true));
  await reader.sees((doc) => textOf(doc) === 'waits');
  expect(await textIn(databaseUrl)).toBe('');
  expect(isDone).toBe(false);
  line.reset();
  line.heal();
  await change;
  expect(await textIn(databaseUrl)).toBe('waits');
});

test('[O2] what a change did before it threw stays, and the error comes through', async () => {
  const { server } = await startServer();
  const change = server.documents.transact(NAME, (doc) => {
    append('half ')(doc);
    throw new RangeError('of the program');
  });
  await expect(change).rejects.toThrow(new RangeError('of the program'));
  await server.documents.transact(NAME, append('whole'));
  expect((await server.documents.read(NAME))?.text()).toBe('half whole');
});

test('[O2] a promise of a change is waited for, and its error is the change’s', async () => {
  const { server } = await startServer();
  const change = server.documents.transact(NAME, async (doc) => {
    await new Promise((resolve) => setImmediate(resolve));
    append('later')(doc);
    return 'done';
  });
  expect(await change).toBe('done');
  expect((await server.documents.read(NAME))?.text()).toBe('later');
  const failing = server.documents.transact(NAME, () => Promise.reject(new RangeError('of the program')));
  await expect(failing).rejects.toThrow(new RangeError('of the program'));
});

test('[O2] a name or a user that is none is refused before anything is touched', async () => {
  const { server, url } = await startServer();
  const { documents } = server;
  const change = vi.fn<() => void>();
  for (const name of ['', 'a//b', 'a\0b']) {
    for (const attempt of [
      () => documents.read(name),
      () => documents.exists(name),
      () => documents.create(name),
      () => documents.transact(name, change),
      () => documents.applyUpdate(name, updateOf('x')),
      () => documents.subscribe(name, change),
    ]) {
      await expect(attempt()).rejects.toThrow(failure('bad_name'));
    }
  }
  await expect(documents.transact(NAME, change, { user: 'a\0b' })).rejects.toThrow(failure('bad_user'));
  expect(change).not.toHaveBeenCalled();
  expect(await valueOf(url, 'indelible_documents')).toBe(0);
});

test('[O3] an update is applied as one of a client: checked, kept when it waits, and refused without a trace', async () => {
  const { server, url } = await startServer({ limitDocumentBytes: 10_000 });
  const { documents } = server;
  const anna = typist();
  const [first, second] = [anna('first '), anna('second')];
  await documents.applyUpdate(NAME, second, { user: 'anna' });
  expect((await documents.read(NAME))?.text()).toBe('');
  await documents.applyUpdate(NAME, first);
  expect((await documents.read(NAME))?.text()).toBe('first second');
  await documents.applyUpdate(NAME, first);

  await expect(documents.applyUpdate(NAME, new Uint8Array([1, 2, 3]))).rejects.toThrow(failure('bad_update'));
  await expect(documents.applyUpdate(NAME, updateOf('x'.repeat(20_000)))).rejects.toThrow(
    failure('document_too_large'),
  );
  expect((await documents.read(NAME))?.text()).toBe('first second');
  await documentsBecome(url, 0, 10_000);
});

test('[O4] of several programs that create a document at once one does, and people who have it open see it', async () => {
  const options = await clusterOptions();
  const instances = [await startInstance(options), await startInstance(options)];
  const people = instances.map(({ url }) => connectYWebsocket(url, NAME, { acks: true }));
  for (const person of people) await person.synced();
  const attempts = Array.from({ length: 6 }, (_, index) => {
    const { documents } = (instances[index % 2] as TestServer).server;
    return documents.create(NAME, { content: updateOf('once') }).then(
      () => 'created',
      (error: unknown) => (error as IndelibleError).code,
    );
  });
  expect((await Promise.all(attempts)).toSorted()).toEqual([
    'created',
    ...Array<string>(5).fill('document_exists'),
  ]);
  for (const person of people) await person.sees((doc) => textOf(doc) === 'once');
  people[1]?.doc.getText('content').insert(4, ' and for all');
  await people[1]?.saved();
  expect(await textIn(options.databaseUrl)).toBe('once and for all');
});

test('[O4] a document is created blank, and with what Yjs can apply only', async () => {
  const { server } = await startServer({ onLoad: async () => updateOf('from onLoad') });
  const { documents } = server;
  await expect(documents.create(NAME, { content: new Uint8Array([9, 9]) })).rejects.toThrow(
    failure('bad_update'),
  );
  expect(await documents.exists(NAME)).toBe(false);
  await documents.create(NAME);
  expect(await documents.exists(NAME)).toBe(true);
  await expect(documents.create(NAME)).rejects.toThrow(failure('document_exists'));
  expect((await documents.read(NAME))?.json()).toEqual({});
  // It is stored, so that onLoad is not asked.
  await documents.transact(NAME, append('only this'));
  expect((await documents.read(NAME))?.text()).toBe('only this');
});

test('[O4] a document that is created while it is being opened is not blank in memory', async () => {
  const waiting = Promise.withResolvers<null>();
  const asked = Promise.withResolvers<void>();
  const { server, url } = await startServer({
    onLoad: () => {
      asked.resolve();
      return waiting.promise;
    },
  });
  const alice = connectYWebsocket(url, NAME);
  await asked.promise;
  await server.documents.create(NAME, { content: updateOf('created') });
  waiting.resolve(null);
  await alice.sees((doc) => textOf(doc) === 'created');
  expect((await server.documents.read(NAME))?.text()).toBe('created');
});

test('[O4] what would wait for missing edits of too many is not created', async () => {
  const { server } = await startServer();
  const waiting = Array.from({ length: 600 }, (_, client) => {
    const typed = typist(client + 1);
    typed('missing');
    return typed('waits');
  });
  const content = Y.mergeUpdates(waiting);
  await expect(server.documents.create(NAME, { content })).rejects.toThrow(failure('too_much_pending'));
  await server.documents.create(NAME, { content: Y.mergeUpdates(waiting.slice(0, 10)) });
});

test('[O4] what is too deep, or too large, is not created', async () => {
  const { server } = await startServer({ limitDocumentBytes: 10_000 });
  const deep = new Y.Doc();
  let parent = deep.getMap<unknown>('deep');
  for (let level = 0; level < 600; level += 1) {
    const child = new Y.Map<unknown>();
    parent.set('in', child);
    parent = child;
  }
  const { documents } = server;
  await expect(documents.create(NAME, { content: deep })).rejects.toThrow(failure('bad_update'));
  const large = updateOf('x'.repeat(20_000));
  await expect(documents.create(NAME, { content: large })).rejects.toThrow(failure('document_too_large'));
  expect(await documents.exists(NAME)).toBe(false);
});

test('[O5] stored documents are listed by prefix, in the order of their bytes, page by page', async () => {
  const { server } = await startServer();
  const { documents } = server;
  const names = ['a/1', 'a/2', 'a/é', 'a/z', 'a/😀', 'a_1', 'ab', 'b'];
  for (const name of names.toReversed()) await documents.create(name);
  expect(await documents.list()).toEqual({
    names: ['a/1', 'a/2', 'a/z', 'a/é', 'a/😀', 'a_1', 'ab', 'b'],
    cursor: null,
  });
  const pages: (readonly string[])[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const page = await documents.list({ prefix: 'a/', limit: 2, cursor });
    pages.push(page.names);
    cursor = page.cursor;
  }
  expect(pages).toEqual([['a/1', 'a/2'], ['a/z', 'a/é'], ['a/😀']]);
  expect(await documents.list({ prefix: '%' })).toEqual({ names: [], cursor: null });
  for (const limit of [0, 1_001, 1.5]) {
    await expect(documents.list({ limit })).rejects.toThrow(failure('bad_limit'));
  }
});

test('[O6] a subscriber is told of every change, whoever makes it, until it ends', async () => {
  const [one, other] = (await startInstances(2)) as [TestServer, TestServer];
  const copy = new Y.Doc();
  const end = await one.server.documents.subscribe(NAME, ({ update }) => Y.applyUpdate(copy, update));
  const alice = connectYWebsocket(other.url, NAME);
  await alice.synced();
  alice.doc.getText('content').insert(0, 'alice ');
  await vi.waitFor(() => expect(textOf(copy)).toBe('alice '));
  await other.server.documents.transact(NAME, append('a program '));
  await vi.waitFor(() => expect(textOf(copy)).toBe('alice a program '));
  await one.server.documents.transact(NAME, append('another'));
  expect(textOf(copy)).toBe('alice a program another');
  expect(await valueOf(one.url, 'indelible_documents')).toBe(1);
  end();
  await documentsBecome(one.url, 0, 10_000);
  await one.server.documents.transact(NAME, append('!'));
  expect(textOf(copy)).toBe('alice a program another');
});

test('[O6] a listener that throws is logged, and a subscription lives through a rebuilt document', async () => {
  const { server, url, log } = await startServer();
  const seen: string[] = [];
  const listener = ({ doc }: DocumentChange) => {
    seen.push(textOf(doc));
    if (seen.length === 1) throw new Error('of the listener');
  };
  await server.documents.subscribe(NAME, listener);
  await server.documents.transact(NAME, append('one '));
  expect(log.map(({ msg }) => msg)).toContain('a listener of a document failed');
  throwOnNextApply();
  await expect(server.documents.applyUpdate(NAME, updateOf('never '))).rejects.toThrow(failure('bad_update'));
  expect(await valueOf(url, 'indelible_document_rebuilds_total')).toBe(1);
  await server.documents.transact(NAME, append('two'));
  await vi.waitFor(() => expect(seen.at(-1)).toBe('one two'));
});

test('[O8] a change whose document is dropped from memory before the commit is rejected', async () => {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const { server, url } = await startServer({ databaseUrl: line.url });
  const alice = connectYWebsocket(url, NAME);
  await alice.synced();
  line.blackHole();
  const change = server.documents.transact(NAME, append('lost?'));
  await alice.sees((doc) => textOf(doc) === 'lost?');
  throwOnNextApply();
  const other = server.documents.applyUpdate(NAME, updateOf('never '));
  await expect(change).rejects.toThrow(failure('document_reset'));
  await expect(other).rejects.toThrow(failure('bad_update'));
  line.reset();
  line.heal();
  await alice.synced();
});

test('[O8] when the database is known to be away nothing is touched, and it is said', async () => {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const { server, url } = await startServer({ databaseUrl: line.url, shutdownMs: 0 });
  const { documents } = server;
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  await alice.saved();
  // Where nobody listens.
  line.retarget('postgresql://127.0.0.1:9');
  line.reset();
  alice.doc.getText('content').insert(0, 'alice');
  await readinessBecomes(url, { database: 'away' });
  const change = vi.fn<() => void>();
  for (const attempt of [
    () => documents.transact(NAME, change),
    () => documents.transact('cold', change),
    () => documents.applyUpdate(NAME, updateOf('x')),
    () => documents.read('cold'),
    () => documents.exists(NAME),
    () => documents.list(),
    () => documents.create('cold'),
    () => documents.subscribe('cold', change),
  ]) {
    await expect(attempt()).rejects.toThrow(failure('database_unavailable'));
  }
  expect(change).not.toHaveBeenCalled();
  expect(textOf(alice.doc)).toBe('alice');
  // What people see can still be read.
  expect((await documents.read(NAME))?.text()).toBe('alice');
});

test('[O8] a subscription holds up no shutdown, and afterwards nothing is begun', async () => {
  const { server, log } = await startServer();
  const listener = vi.fn<() => void>();
  await server.documents.subscribe(NAME, listener);
  await server.documents.transact(NAME, append('text'));
  expect(await server.close()).toEqual({ unwritten: [] });
  expect(log.map(({ msg }) => msg)).not.toContain('stopped before everything was done');
  expect(listener).toHaveBeenCalledTimes(1);
  await expect(server.documents.transact(NAME, append('late'))).rejects.toThrow(IndelibleError);
});
