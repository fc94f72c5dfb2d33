import { toBase64 } from 'lib0/buffer';
import { describe, expect, inject, test, vi } from 'vitest';
import * as Y from 'yjs';
import { ask, at, keyed, patch, told, type Answered, type Asked } from '../helpers/api.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { joinAs, textOf, typist, updateOf } from '../helpers/editor.ts';
import { claimText } from '../helpers/hostile.ts';
import { clusterOptions, startInstance } from '../helpers/instances.ts';
import { documentsBecome } from '../helpers/metrics.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const NAME = 'notes/today';

describe('[U4] creating', () => {
  test('[U4] blank, from JSON, and from an update', async () => {
    const { url } = await startServer();
    const blank = await ask(url, at(NAME), { method: 'POST' });
    expect([blank.status, blank.json, blank.headers.get('location')]).toEqual([
      201,
      { name: NAME },
      '/api/documents/notes%2Ftoday',
    ]);
    expect((await ask(url, at(NAME))).json).toEqual({});
    expect(told(await ask(url, at(NAME), { method: 'POST' }))).toBe('409 document_exists');
    const body = { content: 'a text', meta: { tags: ['a', 'b'], __proto__deep: 1 }, list: [1, { two: 2 }] };
    expect((await ask(url, at('json'), { method: 'POST', body })).status).toBe(201);
    expect((await ask(url, at('json'))).json).toEqual({ ...body, content: [{ insert: 'a text' }] });
    expect((await ask(url, at('update'), { method: 'POST', body: updateOf('an update') })).status).toBe(201);
    expect((await ask(url, at('update', '?format=text'))).text).toBe('an update');
  });

  test('[U4] [D6] a key like __proto__ is data, at any depth', async () => {
    const { url } = await startServer();
    const body = '{"meta":{"__proto__":{"constructor":[{"__proto__":1}]}},"__proto__":{"a":1}}';
    expect((await ask(url, at('keys'), { method: 'POST', body })).status).toBe(201);
    expect(JSON.parse((await ask(url, at('keys'))).text)).toEqual(JSON.parse(body));
    const set = { op: 'set', root: 'meta', key: '__proto__', value: 'text' };
    expect((await ask(url, at('keys'), patch(set))).status).toBe(204);
    expect((await ask(url, at('keys', '?root=meta'))).text).toBe('{"__proto__":"text"}');
  });

  test('[U4] what was read in JSON becomes the same again', async () => {
    const { url, server } = await startServer();
    await server.documents.transact(NAME, (doc) => {
      doc
        .getText('content')
        .applyDelta([{ insert: 'bold', attributes: { bold: true } }, { insert: ' plain' }]);
      doc.getArray('list').push([1, 'two', new Y.Map([['three', [3]]])]);
      const paragraph = new Y.XmlElement('paragraph');
      const text = new Y.XmlText();
      text.applyDelta([{ insert: 'linked', attributes: { link: { href: '/' } } }, { insert: ' text' }]);
      paragraph.insert(0, [text, new Y.XmlElement('image')]);
      paragraph.setAttribute('align', 'left');
      doc.getXmlFragment('page').push([paragraph]);
    });
    const { json } = await ask(url, at(NAME));
    expect((await ask(url, at('copy'), { method: 'POST', body: json })).status).toBe(201);
    expect((await ask(url, at('copy'))).json).toEqual(json);
  });
});

test('[U5] a change is committed with its author, and seen at every instance', async () => {
  const options = await clusterOptions({ jwtSecret: SECRET });
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const token = await mint({ sub: 'robot' });
  await ask(one.url, at(NAME), { method: 'POST', token });
  const people = [connectYWebsocket(one.url, NAME, { token }), connectHocuspocus(other.url, NAME, { token })];
  for (const person of people) await person.synced();
  const changed = await ask(one.url, at(NAME), {
    ...patch({ op: 'insert', at: 0, text: 'hello' }, { op: 'set', root: 'meta', key: 'title', value: 'Hi' }),
    token,
  });
  expect(changed.status).toBe(204);
  const database = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  const { rows } = await database.queries.query('select author from indelible.updates');
  expect(rows).toEqual([{ author: 'robot' }]);
  for (const person of people)
    await person.sees((doc) => textOf(doc) === 'hello' && doc.getMap('meta').get('title') === 'Hi');
  expect((await ask(other.url, at(NAME), { token })).etag).toBe(changed.etag);
});

test('[U5] operations are done all or none', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), { method: 'POST', body: { content: 'text', list: [1] } });
  const alice = connectYWebsocket(url, NAME);
  await alice.sees((doc) => textOf(doc) === 'text');
  const updates = vi.fn<() => void>();
  alice.doc.on('update', updates);
  const { etag } = await ask(url, at(NAME));
  const refused = await ask(
    url,
    at(NAME),
    patch(
      { op: 'append', text: ' more' },
      { op: 'push', root: 'list', values: [2] },
      { op: 'delete', at: 3, length: 99 },
    ),
  );
  expect([told(refused), refused.json]).toEqual([
    '422 bad_operation',
    expect.objectContaining({ detail: expect.stringMatching(/^operation 2: /) as string }),
  ]);
  expect((await ask(url, at(NAME))).etag).toBe(etag);
  await ask(url, at(NAME), patch({ op: 'append', text: '!' }, { op: 'push', root: 'list', values: [2] }));
  await alice.sees((doc) => textOf(doc) === 'text!');
  expect(alice.doc.getArray('list').toJSON()).toEqual([1, 2]);
  expect(updates).toHaveBeenCalledTimes(1);
});

test('[U5] a blank root is of no type, whatever the change before has made of it', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), { method: 'POST' });
  const change = async (operation: object) => told(await ask(url, at(NAME), patch(operation)));
  expect(await change({ op: 'append', root: 'it', text: 'text' })).toBe('204');
  expect(await change({ op: 'set', root: 'it', key: 'a', value: 1 })).toBe('409 wrong_type');
  expect(await change({ op: 'set', root: 'it', text: '' })).toBe('204');
  expect(await change({ op: 'set', root: 'it', key: 'a', value: 1 })).toBe('204');
  expect((await ask(url, at(NAME, '?root=it'))).json).toEqual({ a: 1 });
});

test('[U5] a blank root is what a program of the server has made of it', async () => {
  const { url, server } = await startServer();
  await ask(url, at(NAME), { method: 'POST' });
  const set = (operation: object) => ask(url, at(NAME), patch({ op: 'set', root: 'it', ...operation }));
  await set({ text: 'text' });
  await set({ text: '' });
  await server.documents.transact(NAME, (doc) => void doc.getMap('it').set('a', 1));
  expect(told(await set({ key: 'b', value: 2 }))).toBe('204');
  expect((await ask(url, at(NAME, '?root=it'))).json).toEqual({ a: 1, b: 2 });
});

test('[U5] an update is a change, too', async () => {
  const { url } = await startServer();
  const anna = typist();
  expect(told(await ask(url, at(NAME), { method: 'PATCH', body: anna('lost') }))).toBe(
    '404 document_missing',
  );
  await ask(url, at(NAME), { method: 'POST' });
  const bob = typist(2);
  const changed = await ask(url, at(NAME), { method: 'PATCH', body: bob('an update') });
  expect([changed.status, changed.etag]).toEqual([204, (await ask(url, at(NAME))).etag]);
  const again = await ask(url, at(NAME), {
    method: 'PATCH',
    body: bob(' more'),
    headers: { 'If-Match': '"another"' },
  });
  expect([told(again), again.etag]).toEqual(['412 document_changed', changed.etag]);
  expect((await ask(url, at(NAME, '?format=text'))).text).toBe('an update');
});

test('[U5] an update that claims clocks which the document has with other content is logged', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer(storage);
  await ask(url, at(NAME), { method: 'POST', body: typist(1)('text') });
  const { etag } = await ask(url, at(NAME));
  const claim = claimText(1, 1, 'XY');
  const changed = await ask(url, at(NAME), { method: 'PATCH', body: claim });
  expect([changed.status, changed.etag]).toEqual([204, etag]);
  expect((await ask(url, at(NAME, '?format=text'))).text).toBe('text');
  const { queries } = await openStorage(storage);
  const { rows } = await queries.query<{ update: Buffer }>(
    'select update from indelible.updates order by id desc limit 1',
  );
  expect(rows[0]?.update.toString('hex')).toBe(Buffer.from(claim).toString('hex'));
});

test.each([
  ['operations', patch({ op: 'append', text: 'x' })],
  ['an update', { method: 'PATCH', body: updateOf('x') }],
])(
  '[U5] [U11] %s for a document that is deleted or was never there create none',
  async (_what, asked: Asked) => {
    const { url } = await startServer();
    await ask(url, at('deleted'), { method: 'POST', body: { content: 'text' } });
    await ask(url, at('deleted'), { method: 'DELETE' });
    for (const name of ['deleted', 'missing']) {
      const answers = [await ask(url, at(name), asked), await ask(url, at(name))];
      expect(answers.map(told)).toEqual(Array<string>(2).fill(`404 document_${name}`));
    }
    expect((await ask(url, '/documents')).json).toEqual({ names: [], cursor: null });
    await ask(url, at('deleted', '/restore'), { method: 'POST' });
    expect((await ask(url, at('deleted', '?format=text'))).text).toBe('text');
  },
);

test('[U3] the ETag of a change is that of a read, also where Yjs takes away formatting that is redundant', async () => {
  const { url, server } = await startServer();
  await ask(url, at(NAME), { method: 'POST' });
  const place = { root: 'map', path: ['text'] };
  await ask(url, at(NAME), patch({ op: 'set', root: 'map', key: 'text', value: 'one two', as: 'text' }));
  const stored = async () => (await server.documents.read(NAME))?.doc ?? new Y.Doc();
  const before = Y.encodeStateAsUpdate(await stored());
  /** As several write it who do not know of each other. */
  const bold = () => {
    const doc = new Y.Doc();
    Y.applyUpdate(doc, before);
    const known = Y.encodeStateVector(doc);
    (doc.getMap('map').get('text') as Y.Text).format(0, 3, { bold: true });
    return { method: 'PATCH', body: Y.encodeStateAsUpdate(doc, known) };
  };
  const format = { op: 'format', ...place, at: 1, length: 4, attributes: { bold: true } };
  for (const asked of [bold(), bold(), patch(format), bold()]) {
    const changed = await ask(url, at(NAME), asked);
    expect([changed.status, changed.etag]).toEqual([204, (await ask(url, at(NAME))).etag]);
  }
  const { etag } = await ask(url, at(NAME));
  await documentsBecome(url, 0, 20_000);
  expect((await ask(url, at(NAME))).etag, 'from the database').toBe(etag);
  expect(Y.snapshot(await stored()).ds.clients.size, 'something was taken away').toBeGreaterThan(0);
});

test.each(['the draft', 'the document'])(
  '[U3] the ETag of a change is that of a read, also where only %s knows what is a text',
  async (which) => {
    const { url, server } = await startServer();
    await ask(url, at(NAME), { method: 'POST', body: { content: 'one two three' } });
    const alice = connectYWebsocket(url, NAME);
    await alice.sees((doc) => textOf(doc) === 'one two three');
    const before = Y.encodeStateAsUpdate((await server.documents.read(NAME))?.doc ?? new Y.Doc());
    const bold = () => {
      const doc = new Y.Doc();
      Y.applyUpdate(doc, before);
      const known = Y.encodeStateVector(doc);
      doc.getText('content').format(0, 3, { bold: true });
      return { method: 'PATCH', body: Y.encodeStateAsUpdate(doc, known) };
    };
    const append = patch({ op: 'append', text: '!' });
    const format = patch({ op: 'format', at: 5, length: 2, attributes: { em: true } });
    if (which === 'the draft') await ask(url, at(NAME), append);

    for (const asked of [bold(), bold()]) {
      const { etag } = await ask(url, at(NAME), asked);
      expect(etag).toBe((await ask(url, at(NAME))).etag);
    }
    if (which === 'the document')
      await server.documents.transact(NAME, (doc) => void doc.getText('content').length);
    for (const asked of [bold(), format, bold(), append]) {
      const { etag } = await ask(url, at(NAME), asked);
      expect(etag).toBe((await ask(url, at(NAME))).etag);
    }
  },
);

test('[U5] an update that others have waited for is logged without what they have brought', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer({ ...storage, jwtSecret: SECRET });
  const [token, robot] = [await mint({ sub: 'mallory' }), await mint({ sub: 'robot' })];
  const type = typist();
  const [base, waits] = [type('base '), type('waits')];
  await ask(url, at(NAME), { method: 'POST', token });
  const mallory = await joinAs('y-websocket', url, NAME, token);
  mallory.send(waits);
  expect(await mallory.ack()).toBe(true);
  expect(told(await ask(url, at(NAME), { method: 'PATCH', body: base, token: robot }))).toBe('204');
  expect((await ask(url, at(NAME, '?format=text'), { token })).text).toBe('base waits');
  const { rows } = await (
    await openStorage(storage)
  ).queries.query<{ author: string; update: Buffer }>(
    'select author, update from indelible.updates order by id',
  );
  expect(rows.map(({ author, update }) => [author, update.includes('waits')])).toEqual([
    ['mallory', true],
    ['robot', false],
  ]);
});

test('[U6] what is inserted at a relative position lands where it was meant, though people typed meanwhile', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), {
    method: 'POST',
    body: { content: 'one two', nested: { list: [{ text: 'x' }] } },
  });
  const read = await ask(url, at(NAME, '?relative=4,7'));
  const [two, end] = (read.headers.get('relative-positions') ?? '').split(', ');
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  alice.doc.getText('content').insert(0, 'zero ');
  alice.doc.getText('content').delete(5, 3);
  await alice.saved();
  const inserts = patch(
    { op: 'insert', at: { relative: two }, text: 'and ' },
    { op: 'insert', at: { relative: end }, text: '!' },
  );
  expect((await ask(url, at(NAME), inserts)).status).toBe(204);
  expect((await ask(url, at(NAME, '?format=text'))).text).toBe('zero  and two!');
  const elsewhere = await ask(
    url,
    at(NAME),
    patch({ op: 'insert', root: 'other', at: { relative: two }, text: 'x' }),
  );
  expect(told(elsewhere)).toBe('422 bad_operation');
  const inside = await ask(url, at(NAME, `?relative=1&root=nested&path=${encodeURIComponent('["list"]')}`));
  const position = inside.headers.get('relative-positions');
  expect(position).toMatch(/^[A-Za-z0-9+/=]+$/);
  await ask(url, at(NAME), patch({ op: 'insert', root: 'nested', path: ['list'], at: 0, values: [0] }));
  const between = { op: 'insert', root: 'nested', path: ['list'], at: { relative: position }, values: [1] };
  expect((await ask(url, at(NAME), patch(between))).status).toBe(204);
  expect((await ask(url, at(NAME, '?root=nested'))).json).toEqual({ list: [0, { text: 'x' }, 1] });
  for (const query of [
    'relative=99',
    'relative=x',
    'relative=1&path=["nowhere"]',
    'relative=1&path=[',
    'relative=-1',
  ])
    expect((await ask(url, at(NAME, `?${query}`))).status, query).toBeGreaterThanOrEqual(400);
});

test('[U6] a relative position of one instance is known at another, though the edit that it is in is on its way', async () => {
  const options = await clusterOptions();
  const one = await startInstance(options);
  const line = await startProxy(inject('redisUrl'));
  const other = await startInstance({ ...options, redisUrl: [line.url] });
  await ask(one.url, at(NAME), { method: 'POST' });
  const [alice, bob] = [connectYWebsocket(one.url, NAME, { acks: true }), connectYWebsocket(other.url, NAME)];
  await bob.synced();
  await alice.synced();
  line.slow({ delayMs: 200 });
  alice.doc.getText('content').insert(0, 'one two');
  await alice.saved();
  const position = (await ask(one.url, at(NAME, '?relative=4'))).headers.get('relative-positions');
  const insert = patch({ op: 'insert', at: { relative: position }, text: 'and ' });
  expect(told(await ask(other.url, at(NAME), insert))).toBe('204');
  expect((await ask(other.url, at(NAME, '?format=text'))).text).toBe('one and two');
  // Nobody has one of somebody who is not there.
  const stranger = new Y.Doc();
  stranger.getText('content').insert(0, 'text');
  const relative = toBase64(
    Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(stranger.getText('content'), 1)),
  );
  const lost = patch({ op: 'insert', at: { relative }, text: 'x' });
  expect(told(await ask(other.url, at(NAME), lost))).toBe('422 bad_operation');
});

test('[U6] what is deleted or formatted at a relative position is what was meant, though people typed meanwhile', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), { method: 'POST', body: { content: 'one two three', list: [1, 2, 3] } });
  const positionsOf = async (query: string) =>
    ((await ask(url, at(NAME, query))).headers.get('relative-positions') ?? '').split(', ');
  const [two, three] = await positionsOf('?relative=4,8');
  const [second] = await positionsOf('?relative=1&root=list');
  const alice = connectYWebsocket(url, NAME, { acks: true });
  await alice.synced();
  alice.doc.getText('content').insert(0, 'zero ');
  alice.doc.getArray('list').insert(0, [0]);
  await alice.saved();
  const changes = patch(
    { op: 'delete', at: { relative: two }, length: 4 },
    { op: 'format', at: { relative: three }, length: 5, attributes: { bold: true } },
    { op: 'delete', root: 'list', at: { relative: second } },
  );
  expect((await ask(url, at(NAME), changes)).status).toBe(204);
  expect((await ask(url, at(NAME))).json).toEqual({
    content: [{ insert: 'zero one ' }, { insert: 'three', attributes: { bold: true } }],
    list: [0, 1, 3],
  });
});

test('[U6] setting a text leaves cursors, and what others type meanwhile, where they are', async () => {
  const { url } = await startServer();
  const before = 'The quick brown fox.\nIt jumps over the lazy dog.\n';
  await ask(url, at(NAME), { method: 'POST', body: { content: before } });
  const alice = connectYWebsocket(url, NAME);
  await alice.sees((doc) => textOf(doc) === before);
  const text = alice.doc.getText('content');
  const cursors = ['quick', 'fox', 'jumps', 'lazy', 'dog'].map(
    (word) => [word, Y.createRelativePositionFromTypeIndex(text, before.indexOf(word) + 2)] as const,
  );
  const after = 'The quick, brown fox!\nIt jumped over the lazy old dog 😀.\n';
  await ask(url, at(NAME), patch({ op: 'set', text: after }));
  await alice.sees((doc) => textOf(doc) === after);
  for (const [word, cursor] of cursors.filter(([each]) => each !== 'jumps')) {
    expect(Y.createAbsolutePositionFromRelativePosition(cursor, alice.doc)?.index).toBe(
      after.indexOf(word) + 2,
    );
  }
});

test('[U7] If-Match refuses a change of a document that has moved on; of several at once one is made', async () => {
  const { url } = await startServer();
  await ask(url, at(NAME), { method: 'POST', body: { content: 'one' } });
  const { etag } = await ask(url, at(NAME));
  const append = (text: string, match = etag) =>
    ask(url, at(NAME), { ...patch({ op: 'append', text }), headers: { 'If-Match': match ?? '' } });
  const all = await Promise.all(['a', 'b', 'c', 'd'].map((text) => append(text)));
  expect(all.map(told).toSorted()).toEqual(['204', ...Array<string>(3).fill('412 document_changed')]);
  const { etag: now } = await ask(url, at(NAME));
  for (const refused of all.filter(({ status }) => status === 412)) expect(refused.etag).toBe(now);
  expect(told(await append('e', '*'))).toBe('204');
  expect(told(await append('f', `"x", ${(await ask(url, at(NAME))).etag}`))).toBe('204');
  // Weak ones say that it is about the same.
  expect(told(await append('g', 'nonsense'))).toBe('412 document_changed');
  expect((await ask(url, at(NAME, '?format=text'))).text).toMatch(/^one[abcd]ef$/);
});

describe('[U8] what has an Idempotency-Key', () => {
  test('[U8] is done once, at any instance, and answered the same', async () => {
    const options = await clusterOptions();
    const [one, other] = [await startInstance(options), await startInstance(options)];
    await ask(one.url, at(NAME), { method: 'POST' });
    const first = await ask(one.url, at(NAME), keyed('k1', 'once '));
    for (const { url } of [one, other]) {
      const again = await ask(url, at(NAME), keyed('k1', 'once '));
      expect([again.status, again.etag, again.headers.get('idempotent-replayed')]).toEqual([
        204,
        first.etag,
        'true',
      ]);
      expect(told(await ask(url, at(NAME), keyed('k1', 'something else')))).toBe('422 key_reused');
    }
    // Both at once, and each of them twice.
    for (let round = 0; round < 20; round += 1) {
      const asked = [one, other, one, other].map(({ url }) =>
        ask(url, at(NAME), keyed(`r${round}`, `${round} `)),
      );
      const answers = await Promise.all(asked);
      expect(answers.map(({ status }) => status)).toEqual([204, 204, 204, 204]);
      expect(new Set(answers.map(({ etag }) => etag)).size).toBe(1);
    }
    // Each once. What two instances have put at the end one after the other may change places on its way.
    const expected = ['', 'once', ...Array.from({ length: 20 }, (_, round) => `${round}`)].toSorted();
    const textAt = async (url: string) => (await ask(url, at(NAME, '?format=text'))).text;
    await vi.waitFor(async () => expect(await textAt(one.url)).toBe(await textAt(other.url)), 5_000);
    expect((await textAt(one.url)).split(' ').toSorted()).toEqual(expected);
  });

  test('[U8] is answered with the same ETag, also after an attempt that was refused, and when others have changed it', async () => {
    const { url } = await startServer();
    await ask(url, at(NAME), { method: 'POST' });
    const { etag } = await ask(url, at(NAME));
    const append = (match: string | null) =>
      ask(url, at(NAME), {
        ...patch({ op: 'append', text: 'once' }),
        headers: { 'Idempotency-Key': 'k', 'If-Match': match ?? '' },
      });
    const refused = await append('"x"');
    expect([told(refused), refused.etag]).toEqual(['412 document_changed', etag]);
    const first = await append(etag);
    expect([told(first), first.etag]).toEqual(['204', (await ask(url, at(NAME))).etag]);
    await ask(url, at(NAME), patch({ op: 'append', text: '!' }));
    const again = await append(etag);
    expect([told(again), again.etag, again.headers.get('idempotent-replayed')]).toEqual([
      '204',
      first.etag,
      'true',
    ]);
  });

  test('[U8] also when it creates, duplicates, renames, restores or deletes', async () => {
    const { url } = await startServer();
    const twice = async (path: string, method: string, body?: unknown): Promise<string> => {
      const asked = {
        method,
        headers: { 'Idempotency-Key': `${method}${path}` },
        ...(body !== undefined && { body }),
      };
      const [first, again] = [await ask(url, path, asked), await ask(url, path, asked)];
      expect([again.status, again.text]).toEqual([first.status, first.text]);
      return told(first);
    };
    expect(await twice(at(NAME), 'POST', { content: 'text' })).toBe('201');
    expect(await twice(at(NAME, '/duplicate'), 'POST', { to: 'copy' })).toBe('201');
    expect(await twice(at('copy', '/rename'), 'POST', { to: 'moved' })).toBe('204');
    expect(await twice(at('moved'), 'DELETE')).toBe('204');
    expect(await twice(at('moved', '/restore'), 'POST')).toBe('204');
    expect(await twice(at('moved', '/erase'), 'POST')).toBe('204');
    // What fails is nothing that is kept.
    expect(await twice(at('moved', '/restore?x'), 'POST')).toBe('404 document_missing');
    expect((await ask(url, at(NAME, '?format=text'))).text).toBe('text');
  });

  test('[U8] is another one for another user, and a key is a word', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    const [anna, bob] = [await mint(), await mint({ sub: 'bob' })];
    await ask(url, at(NAME), { method: 'POST', token: anna });
    for (const token of [anna, bob, anna])
      expect((await ask(url, at(NAME), { ...keyed('k', 'x'), token })).status).toBe(204);
    expect((await ask(url, at(NAME, '?format=text'), { token: anna })).text).toBe('xx');
    for (const key of ['a b', 'x'.repeat(256)])
      expect(told(await ask(url, at(NAME), { ...keyed(key, 'x'), token: anna }))).toBe('400 bad_request');
  });
});

describe('[U9] without the database', () => {
  test('[U9] nothing is touched when it is known to be away', async () => {
    const { url: databaseUrl } = await createDatabase();
    const line = await startProxy(databaseUrl);
    const { url, server } = await startServer({ databaseUrl: line.url, shutdownMs: 0 });
    await ask(url, at(NAME), { method: 'POST', body: { content: 'text' } });
    const alice = connectYWebsocket(url, NAME, { acks: true });
    await alice.synced();
    line.retarget('postgresql://127.0.0.1:9');
    line.reset();
    await readinessBecomes(url, { database: 'away' });
    for (const asked of [
      ask(url, at(NAME), patch({ op: 'append', text: '!' })),
      ask(url, at('new'), { method: 'POST' }),
      ask(url, at(NAME), { method: 'DELETE' }),
      ask(url, '/documents'),
      ask(url, at(NAME), { ...patch({ op: 'append', text: '!' }), headers: { 'Idempotency-Key': 'k' } }),
      ask(url, at(NAME), { method: 'PATCH', body: updateOf('!') }),
      ask(url, '/revocations', { method: 'POST', body: { user: 'anna' } }),
    ]) {
      const answer: Answered = await asked;
      expect([told(answer), answer.headers.get('retry-after')]).toEqual(['503 database_unavailable', '1']);
    }
    expect(textOf(alice.doc)).toBe('text');
    await server.close();
  });

  test('[U9] a commit that does not come is said, the edit is live, and the key tells the outcome', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    await ask(url, at(NAME), { method: 'POST' });
    const alice = connectYWebsocket(url, NAME);
    await alice.synced();
    const locked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const database = await openStorage(storage);
    const lock = database.queries.transaction(async (connection) => {
      await connection.query('lock table indelible.updates in exclusive mode');
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const append = () =>
      ask(url, at(NAME), { ...patch({ op: 'append', text: 'late' }), headers: { 'Idempotency-Key': 'k' } });
    const pending = await append();
    expect(told(pending)).toMatch(/^504 commit_pending$/);
    await alice.sees((doc) => textOf(doc) === 'late');
    expect(told(await append())).toBe('503 database_unavailable');
    expect(pending.headers.get('retry-after')).toBe('1');
    release.resolve();
    await lock;
    await vi.waitFor(async () => expect(told(await append())).toBe('204'), 20_000);
    expect((await ask(url, at(NAME, '?format=text'))).text).toBe('late');
  }, 60_000);
});

test('[U8] a request that another instance has recorded meanwhile changes nothing here', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer(storage);
  await ask(url, at(NAME), { method: 'POST' });
  const database = await openStorage(storage);
  const append = (headers: Record<string, string> = {}) =>
    ask(url, at(NAME), { ...patch({ op: 'append', text: 'x' }), headers });
  // As if it were another instance that is quicker: it records the key between the question for it and the commit.
  await database.queries.query(`
    create function indelible.be_quicker() returns trigger language plpgsql as $$ begin
      if new.attempt = 'quicker' then return new; end if;
      insert into indelible.requests ("user", key, attempt, fingerprint, answer)
        values (new."user", new.key, 'quicker', new.fingerprint, '{"status":204,"headers":{"ETag":"\\"quicker\\""},"body":null}');
      return new;
    end $$;
    create trigger quicker before insert on indelible.requests for each row execute function indelible.be_quicker();`);
  const answer = await append({ 'Idempotency-Key': 'k' });
  expect([answer.status, answer.etag, answer.headers.get('idempotent-replayed')]).toEqual([
    204,
    '"quicker"',
    'true',
  ]);
  expect((await ask(url, at(NAME, '?format=text'))).text).toBe('');
  expect((await append()).status).toBe(204);
  expect((await ask(url, at(NAME, '?format=text'))).text).toBe('x');
});
