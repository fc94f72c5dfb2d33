import { Redis } from 'ioredis';
import { expect, inject, test, vi } from 'vitest';
import type * as Y from 'yjs';
import { mintToken } from '../../server/auth/tokens.ts';
import { PURPOSES } from '../../server/cluster/cluster.ts';
import { decodeMessage, encodeMessage } from '../../server/cluster/messages.ts';
import type { ServerOptions } from '../../server/index.ts';
import { type Client, connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { clusterOptions, startInstance, startInstances } from '../helpers/instances.ts';
import { delivered, documentsBecome, valueOf } from '../helpers/metrics.ts';
import { joinPresence } from '../helpers/presence.ts';
import { startProxy } from '../helpers/proxy.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { startRedisServer } from '../helpers/redis.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';
import { type ServerProcess, type TestServer, spawnServer, startServer } from '../helpers/server.ts';

const DOCUMENT = 'notes';

/** Without an edit, instances are the same within this time of Redis's return. */
const CONVERGED_MS = 5_000;

/** Bytes; more than Redis is given at once. */
const LARGE = 9 * 1024 * 1024;

function type({ doc }: { doc: Y.Doc }, text: string): void {
  const content = doc.getText('content');
  content.insert(content.length, text);
}

async function sees(client: Client<unknown>, text: string, deadlineMs?: number): Promise<void> {
  await client.sees((doc) => textOf(doc) === text, deadlineMs);
}

/** Somebody at each of these. */
async function peopleAt(...instances: { url: string }[]): Promise<Client<unknown>[]> {
  const people = instances.map(({ url }, index) =>
    index % 2 === 0 ? connectYWebsocket(url, DOCUMENT, { acks: true }) : connectHocuspocus(url, DOCUMENT),
  );
  await Promise.all(people.map((person) => person.synced()));
  return people;
}

async function textIn(options: { databaseUrl?: string | undefined }): Promise<string> {
  const database = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  const stored = await rebuild(database, DOCUMENT);
  await database.close();
  return stored === null ? '' : textOf(stored);
}

async function rowsIn(options: { databaseUrl?: string | undefined }): Promise<number> {
  const database = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  const { rows } = await database.queries.query<{ count: number }>(
    'select count(*)::int from indelible.updates',
  );
  await database.close();
  return rows[0]?.count ?? 0;
}

test('[N1] people on different instances see each other’s edits, and each is one row and one message', async () => {
  const options = await clusterOptions();
  const instances = await Promise.all([1, 2, 3].map(() => startInstance(options)));
  const [alice, bob, carol] = (await peopleAt(...instances)) as [
    Client<unknown>,
    Client<unknown>,
    Client<unknown>,
  ];
  type(alice, 'a');
  await sees(bob, 'a');
  type(bob, 'b');
  await sees(carol, 'ab');
  type(carol, 'c');
  for (const person of [alice, bob, carol]) {
    await sees(person, 'abc');
    await person.saved();
  }
  expect(await rowsIn(options)).toBe(3);
  const relays = await Promise.all(instances.map(({ url }) => valueOf(url, 'indelible_relays_total')));
  expect(relays).toEqual([1, 1, 1]);
});

test.for(PROTOCOLS)(
  '[N1] their presence is seen everywhere over %s, and the last one to leave an instance is seen leaving',
  async (protocol) => {
    const [one, other] = (await startInstances(2)) as [TestServer, TestServer];
    const watcher = await joinPresence(protocol, one.url, DOCUMENT);
    watcher.asks();
    const alice = await joinPresence(protocol, other.url, DOCUMENT);
    alice.says(1, 1, { name: 'alice' });
    await watcher.sees((view) => JSON.stringify(view) === JSON.stringify({ 1: { name: 'alice' } }));
    alice.says(1, 2, { name: 'alice', cursor: 5 });
    await watcher.sees((view) => JSON.stringify(view[1]) === JSON.stringify({ name: 'alice', cursor: 5 }));
    // Who comes later is told of those at all instances.
    const late = await joinPresence(protocol, one.url, DOCUMENT);
    late.asks();
    await late.sees((view) => view[1] !== undefined);
    alice.client.socket.terminate();
    await watcher.sees((view) => view[1] === undefined);
    await documentsBecome(other.url, 0, 10_000);
    expect(late.view()).toEqual({});
  },
);

test('[N1] who moves to another instance is seen all the while, and is nobody’s ghost', async () => {
  const [one, other] = (await startInstances(2)) as [TestServer, TestServer];
  const watcher = await joinPresence('hocuspocus', one.url, DOCUMENT);
  const before = await joinPresence('y-websocket', one.url, DOCUMENT);
  before.says(7, 1, { at: 'one' });
  await watcher.sees((view) => view[7] !== undefined);
  // Before the end of its old socket is noticed.
  const after = await joinPresence('y-websocket', other.url, DOCUMENT);
  after.says(7, 1, { at: 'other' });
  await watcher.sees((view) => JSON.stringify(view[7]) === JSON.stringify({ at: 'other' }));
  before.client.socket.terminate();
  const marker = await joinPresence('hocuspocus', one.url, DOCUMENT);
  await marker.isHeardBy(watcher);
  expect(watcher.view()[7]).toEqual({ at: 'other' });
  after.client.socket.terminate();
  await watcher.sees((view) => view[7] === undefined);
});

/** A token is the name of its user; without one it is a guest. */
const auth = ({ token }: { token: string | null }) => ({ user: token, access: 'write' as const });
const joinAsUser = ({ url }: TestServer, user?: string) => joinPresence('hocuspocus', url, DOCUMENT, user);

const aliceIsThere = (view: Record<string, unknown>) =>
  JSON.stringify(view[1]) === JSON.stringify({ at: 'one', user: { id: 'alice' } });

test('[N15] nobody takes the presence of somebody at another instance, nor do guests', async () => {
  const [one, other, third] = (await startInstances(3, { auth })) as [TestServer, TestServer, TestServer];
  const watchers = [await joinAsUser(one, 'w'), await joinAsUser(other, 'w'), await joinAsUser(third, 'w')];
  const alice = await joinAsUser(one, 'alice');
  alice.says(1, 1, { at: 'one' });
  for (const watcher of watchers) await watcher.sees(aliceIsThere);
  // As an introduction, and after one; as another user, and as nobody in the name of Alice.
  const strangers = [
    await joinAsUser(other, 'mallory'),
    await joinAsUser(other, 'mallory'),
    await joinAsUser(third),
  ];
  strangers[0]?.says(1, 50, { at: 'other' });
  strangers[1]?.says(2, 1, { at: 'other' });
  strangers[1]?.says(1, 60, { at: 'other' });
  strangers[2]?.says(1, 70, { at: 'third', user: { id: 'alice' } });
  for (const stranger of strangers) await stranger.isHeardBy(...watchers);
  for (const watcher of watchers) expect(watcher.view()[1]).toEqual({ at: 'one', user: { id: 'alice' } });
  // Alice herself may come from anywhere.
  const again = await joinAsUser(third, 'alice');
  again.says(1, 1, { at: 'third' });
  for (const watcher of watchers) await watcher.sees((view) => JSON.stringify(view[1]).includes('third'));
});

test('[N16] a row that is damaged is committed again by who has its document open elsewhere', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const [alice] = (await peopleAt(one)) as [Client<unknown>];
  type(alice, 'text');
  await alice.saved();
  const database = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  await database.queries.query('update indelible.updates set checksum = checksum + 1');
  await database.close();
  const [bob] = (await peopleAt(other)) as [Client<unknown>];
  await sees(bob, 'text');
  await vi.waitFor(async () => expect(await textIn(options)).toBe('text'), 5_000);
  expect(other.log.map(({ msg }) => msg)).toContainEqual(expect.stringContaining('set aside'));
});

test('[N2] an ack of another instance means committed, though who relayed the edit never commits it', async () => {
  const options = await clusterOptions();
  const toPostgres = await startProxy(options.databaseUrl ?? '');
  const doomed = await startInstance({ ...options, databaseUrl: toPostgres.url, shutdownMs: 0 });
  const other = await startInstance(options);
  const [author] = [await joinAs('y-websocket', doomed.url, DOCUMENT)];
  const reader = connectYWebsocket(other.url, DOCUMENT);
  await reader.synced();
  author.type('committed ');
  expect(await author.ack()).toBe(true);

  toPostgres.blackHole();
  const edit = author.type('relayed');
  await sees(reader, 'committed relayed');
  expect(await textIn(options)).toBe('committed ');
  // Its author comes back to the other instance, which holds the edit and sees nothing new.
  const again = await joinAs('hocuspocus', other.url, DOCUMENT);
  again.send(edit);
  expect(await again.ack()).toBe(true);
  expect(await textIn(options)).toBe('committed relayed');
  expect(author.acks()).toEqual([true]);
});

test('[N3] what nobody confirms is written by who holds it, whether anybody asks for it or not', async () => {
  const options = await clusterOptions();
  const toPostgres = await startProxy(options.databaseUrl ?? '');
  const doomed = await startInstance({ ...options, databaseUrl: toPostgres.url, shutdownMs: 0 });
  const other = await startInstance(options);
  const [author, reader] = (await peopleAt(doomed, other)) as [Client<unknown>, Client<unknown>];
  toPostgres.blackHole();
  type(author, 'relayed');
  await sees(reader, 'relayed');
  await vi.waitFor(async () => expect(await textIn(options)).toBe('relayed'), 5_000);
});

test('[N4] who opens a document elsewhere gets what is not committed yet, too', async () => {
  const options = await clusterOptions();
  const toPostgres = await startProxy(options.databaseUrl ?? '');
  const one = await startInstance({ ...options, databaseUrl: toPostgres.url, shutdownMs: 0 });
  const other = await startInstance(options);
  const [author] = (await peopleAt(one)) as [Client<unknown>];
  toPostgres.blackHole();
  type(author, 'not committed');
  await delivered(one.url);
  const reader = await joinAs('hocuspocus', other.url, DOCUMENT);
  // The first answer that it gets.
  expect(textOf(await reader.ask())).toBe('not committed');
});

test('[N4] an instance that stands still keeps nobody waiting for what it has', async () => {
  const options = await clusterOptions();
  const here = await startInstance(options);
  const frozen = await spawnInstance(options);
  const [author] = (await peopleAt(frozen)) as [Client<unknown>];
  type(author, 'committed');
  await author.saved();
  frozen.signal('SIGSTOP');
  const since = performance.now();
  const reader = await joinAs('hocuspocus', here.url, DOCUMENT);
  expect(textOf(await reader.ask())).toBe('committed');
  // It is missed by its heartbeats only after three.
  expect(performance.now() - since).toBeLessThan(2_000);
  frozen.signal('SIGCONT');
});

test('[N5] nothing is kept in Redis, so that one that is emptied is no loss', async () => {
  const redis = await startRedisServer();
  const [one, other] = (await startInstances(2, { redisUrl: [redis.url] })) as [TestServer, TestServer];
  const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
  type(alice, 'before ');
  await sees(bob, 'before ');
  const admin = new Redis(redis.url);
  expect(await admin.dbsize()).toBe(0);
  await admin.flushall();
  await admin.script('FLUSH');
  admin.disconnect();
  type(alice, 'after');
  await sees(bob, 'before after');
  expect(await readiness(one.url)).toMatchObject({ code: 200, status: 'ready', redis: 'there' });
  expect(await valueOf(other.url, 'indelible_gaps_repaired_total')).toBe(0);
});

test.for(['killed', 'frozen', 'cut'] as const)(
  '[N5] with Redis %s people go on at their instance, and are told what the others did when it is back',
  async (fault) => {
    const redis = await startRedisServer();
    const line = await startProxy(redis.url);
    const faults = {
      killed: { begin: () => redis.kill(), end: () => redis.start() },
      frozen: { begin: async () => redis.freeze(), end: async () => redis.thaw() },
      cut: {
        begin: async () => {
          line.blackHole();
          line.reset();
        },
        end: async () => line.heal(),
      },
    };
    const options = await clusterOptions({ redisUrl: [line.url] });
    const [one, other] = [await startInstance(options), await startInstance(options)];
    const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
    type(alice, 'before ');
    await sees(bob, 'before ');

    await faults[fault].begin();
    await readinessBecomes(one.url, { code: 200, status: 'degraded', redis: 'away', database: 'there' });
    type(alice, 'meanwhile');
    await alice.saved();
    const fresh = connectYWebsocket(one.url, 'opened meanwhile');
    await fresh.synced();
    const degraded = () => valueOf(one.url, 'indelible_redis_degraded_seconds_total');
    await vi.waitFor(async () => expect(await degraded()).toBeGreaterThan(0), 5_000);

    await faults[fault].end();
    await readinessBecomes(one.url, { status: 'ready', redis: 'there' });
    await sees(bob, 'before meanwhile', CONVERGED_MS);
    expect(await valueOf(one.url, 'indelible_redis_reconnects_total')).toBe(2);
  },
);

test('[N5] a server starts, serves and acknowledges without the Redis that it is told to use', async () => {
  const options = await clusterOptions({ redisUrl: ['redis://127.0.0.1:9'] });
  const server = await startServer(options);
  expect(await readiness(server.url)).toMatchObject({ code: 200, status: 'degraded' });
  const [alice] = (await peopleAt(server)) as [Client<unknown>];
  type(alice, 'alone');
  await alice.saved();
  expect(await textIn(options)).toBe('alone');
});

test('[N6] what was said while a subscriber was cut off is made good, deletions too', async () => {
  const redis = await startRedisServer();
  const [one, other] = (await startInstances(2, { redisUrl: [redis.url] })) as [TestServer, TestServer];
  const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
  type(alice, 'some words');
  await sees(bob, 'some words');
  const admin = new Redis(redis.url);
  // Those that come back for another time miss what is said in between.
  for (let round = 1; round <= 3; round += 1) {
    const killing = admin.client('KILL', 'TYPE', 'pubsub');
    alice.doc.getText('content').delete(0, 1);
    await killing;
    alice.doc.getText('content').delete(0, 1);
    await sees(bob, 'some words'.slice(2 * round), CONVERGED_MS);
  }
  admin.disconnect();
  expect(textOf(alice.doc)).toBe('ords');
});

test('[N6] a deletion that never left its instance is made good', async () => {
  const line = await startProxy(inject('redisUrl'));
  const options = await clusterOptions();
  const one = await startInstance({ ...options, redisUrl: [line.url] });
  const other = await startInstance(options);
  const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
  type(alice, 'some words');
  await sees(bob, 'some words');
  line.blackHole('up');
  // Nothing that a state vector shows.
  alice.doc.getText('content').delete(0, 5);
  await readinessBecomes(one.url, { status: 'degraded' });
  line.reset();
  line.heal();
  await sees(bob, 'words', CONVERGED_MS);
  expect(await textIn(options)).toBe('words');
});

test('[N6] so is one whose instance has closed the document, while another has it, and sees nothing new', async () => {
  const line = await startProxy(inject('redisUrl'));
  const options = await clusterOptions();
  const [one, third] = [await startInstance(options), await startInstance(options)];
  const other = await startInstance({ ...options, redisUrl: [line.url] });
  const [alice, bob, carol] = (await peopleAt(one, other, third)) as [
    Client<unknown>,
    Client<unknown>,
    Client<unknown>,
  ];
  type(alice, 'some words');
  for (const person of [bob, carol]) await sees(person, 'some words');
  line.blackHole('down');
  alice.doc.getText('content').delete(0, 5);
  await alice.saved();
  await sees(carol, 'words');
  alice.destroy();
  await documentsBecome(one.url, 0, 5_000);
  // Before it is missed: then everything is read from Postgres for a while.
  line.reset();
  line.heal();
  await sees(bob, 'words', CONVERGED_MS);
  expect(textOf(carol.doc)).toBe('words');
});

function channelOf({ redisPrefix = '' }: ServerOptions): string {
  return `${redisPrefix}/3:${DOCUMENT}`;
}

/** What an instance says that there is not: one of several edits. */
function editOfAnother(count: number): Buffer {
  const edit = { document: DOCUMENT, count, life: '.0', sequence: count, committed: 0 };
  const sentAt = Date.now();
  return Buffer.from(
    encodeMessage('another', { kind: 'updates', ...edit, sentAt, update: updateOf('!'), attribution: '' }),
  );
}

test('[N6] a message that does not arrive is missed at the next one, and at the next comparison', async () => {
  const options = await clusterOptions();
  const [one, other] = [await startInstance(options), await startInstance(options)];
  const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
  type(alice, 'text');
  await sees(bob, 'text');
  const gaps = () => valueOf(other.url, 'indelible_gaps_repaired_total');
  expect(await gaps()).toBe(0);
  // Somebody else with a message that comes after one that nobody has sent.
  const publisher = new Redis(inject('redisUrl'));
  for (const count of [1, 2, 4]) await publisher.publish(channelOf(options), editOfAnother(count));
  publisher.disconnect();
  // The first of an instance that was never heard, and the one that follows none.
  await vi.waitFor(async () => expect(await gaps()).toBe(2));
});

test('[N6] what goes missing while a document is being opened is asked for when it is open', async () => {
  const options = await clusterOptions();
  const instance = await startInstance(options);
  const [publisher, listener] = [new Redis(inject('redisUrl')), new Redis(inject('redisUrl'))];
  const purposes: string[] = [];
  listener.on('messageBuffer', (_channel: unknown, data: Uint8Array) => {
    const message = decodeMessage(data, 'listener');
    if (message?.kind === 'question') purposes.push(PURPOSES[message.purpose] ?? '');
  });
  // Another instance that hears the question, and never answers.
  await listener.subscribe(channelOf(options));
  const alice = connectYWebsocket(instance.url, DOCUMENT);
  await vi.waitUntil(() => purposes.includes('joining'));
  await publisher.publish(channelOf(options), editOfAnother(2));
  await alice.synced();
  await vi.waitFor(() => expect(purposes).toContain('comparing'), 5_000);
  publisher.disconnect();
  listener.disconnect();
});

test('[N6] what is too large for a message is read from Postgres, and what comes after it is seen, too', async () => {
  const room = { limitFrameBytes: 3 * LARGE, limitBytes: 3 * LARGE };
  const [one, other] = (await startInstances(2, room)) as [TestServer, TestServer];
  const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
  type(alice, 'x'.repeat(LARGE));
  type(alice, ' and more');
  await bob.sees((doc) => doc.getText('content').length > LARGE, 20_000);
  expect(textOf(bob.doc).slice(LARGE)).toBe(' and more');
});

test.for(['without Redis', 'each with its own Redis'])(
  '[N7] instances that cannot hear each other are the same through Postgres: %s',
  async (kind) => {
    const nobody = ['redis://127.0.0.1:9'];
    const [first, second] =
      kind === 'without Redis'
        ? [nobody, nobody]
        : [[(await startRedisServer()).url], [(await startRedisServer()).url]];
    const options = await clusterOptions();
    const one = await startServer({ ...options, redisUrl: first });
    const other = await startServer({ ...options, redisUrl: second });
    const [alice, bob] = (await peopleAt(one, other)) as [Client<unknown>, Client<unknown>];
    type(alice, 'alice ');
    await sees(bob, 'alice ', 20_000);
    type(bob, 'bob');
    await sees(alice, 'alice bob', 20_000);
    await Promise.all([alice, bob].map((person) => person.saved()));
    expect(await textIn(options)).toBe('alice bob');
  },
);

test('[N7] an ack for what another instance has committed is one, too', async () => {
  const options = await clusterOptions({ redisUrl: ['redis://127.0.0.1:9'] });
  const [one, other] = [await startServer(options), await startServer(options)];
  const author = await joinAs('y-websocket', one.url, DOCUMENT);
  const [reader] = (await peopleAt(other)) as [Client<unknown>];
  const edit = author.type('edit');
  await sees(reader, 'edit', 20_000);
  const again = await joinAs('y-websocket', other.url, DOCUMENT);
  again.send(edit);
  expect(await again.ack()).toBe(true);
  expect(await textIn(options)).toBe('edit');
});

test('[N7] an instance that has ended is looked for in Postgres no more', async () => {
  const options = await clusterOptions();
  const [one] = [await startInstance(options), await startInstance(options)];
  const { queries } = await openStorage({ databaseUrl: options.databaseUrl ?? '' });
  const known = async () => (await queries.query('select name from indelible.instances')).rows;
  expect(await known()).toHaveLength(2);
  await one.server.close();
  expect(await known()).toHaveLength(1);
});

const names = (view: Record<string, unknown>) => Object.keys(view).join();

/** An instance in a process of its own. */
async function spawnInstance({
  databaseUrl = '',
  redisUrl = [],
  redisPrefix = '',
}: ServerOptions): Promise<ServerProcess> {
  const instance = await spawnServer(
    { databaseUrl },
    { REDIS_URL: redisUrl.join(','), REDIS_PREFIX: redisPrefix },
  );
  await readinessBecomes(instance.url, { status: 'ready' });
  return instance;
}

test('[N8] the people of an instance that is killed are gone soon, and those of one that stood still come back', async () => {
  const options = await clusterOptions();
  const here = await startInstance(options);
  const [doomed, frozen] = [await spawnInstance(options), await spawnInstance(options)];
  const watcher = await joinPresence('hocuspocus', here.url, DOCUMENT);
  for (const [id, { url }] of [doomed, frozen].entries()) {
    const person = await joinPresence('y-websocket', url, DOCUMENT);
    person.says(id + 1, 1, { at: url });
  }
  await watcher.sees((view) => names(view) === '1,2');
  await doomed.kill('SIGKILL');
  frozen.signal('SIGSTOP');
  await watcher.sees((view) => names(view) === '', 10_000);
  frozen.signal('SIGCONT');
  await watcher.sees((view) => names(view) === '2', CONVERGED_MS);
  expect(watcher.view()[2]).toEqual({ at: frozen.url });
});

test('[N8] who leaves while their instance does not reach Redis is gone when it does', async () => {
  const line = await startProxy(inject('redisUrl'));
  const options = await clusterOptions();
  const here = await startInstance(options);
  const cut = await startInstance({ ...options, redisUrl: [line.url] });
  const watcher = await joinPresence('hocuspocus', here.url, DOCUMENT);
  const [alone, leaving, staying] = [
    await joinPresence('y-websocket', cut.url, 'other'),
    await joinPresence('y-websocket', cut.url, DOCUMENT),
    await joinPresence('y-websocket', cut.url, DOCUMENT),
  ];
  const elsewhere = await joinPresence('hocuspocus', here.url, 'other');
  alone.says(1, 1, {});
  leaving.says(2, 1, {});
  staying.says(3, 1, {});
  await watcher.sees((view) => names(view) === '2,3');
  await elsewhere.sees((view) => names(view) === '1');
  line.retarget('redis://127.0.0.1:9');
  line.reset();
  await readinessBecomes(cut.url, { status: 'degraded' });
  for (const { client } of [alone, leaving]) client.socket.terminate();
  await documentsBecome(cut.url, 1, 5_000);
  expect(names(watcher.view())).toBe('2,3');
  line.retarget(inject('redisUrl'));
  // Sooner than y-protocols lets go of them, which takes 30 s.
  await watcher.sees((view) => names(view) === '3', 10_000);
  await elsewhere.sees((view) => names(view) === '', 10_000);
});

test('[N10] access that is taken back, and connections that are closed, at one instance end at all', async () => {
  const jwtSecret = 'a key of at least 32 characters, for tests';
  const [one, other] = (await startInstances(2, { jwtSecret })) as [TestServer, TestServer];
  const tokenOf = (sub: string) => mintToken(jwtSecret, { sub, access: { '**': 'write' } }, 60);
  const join = async (sub: string) => connectYWebsocket(other.url, DOCUMENT, { token: await tokenOf(sub) });
  const [alice, bob] = [await join('alice'), await join('bob')];
  await Promise.all([alice.synced(), bob.synced()]);

  one.server.disconnect({ document: DOCUMENT, user: 'bob' });
  await bob.closed();
  // It may come back.
  await bob.synced();
  one.server.disconnect({ document: DOCUMENT });
  await Promise.all([bob.closed(2), alice.closed()]);
  expect(bob.closes).toEqual([GOODBYE, GOODBYE]);
  await Promise.all([alice.synced(), bob.synced()]);
  expect(() => one.server.disconnect({})).toThrow('names neither');

  await one.server.revoke({ user: 'alice' });
  // Sooner than it would be read from the database.
  await alice.closed(2, 2_000);
  expect(alice.closes).toEqual([GOODBYE, { code: 4403, reason: 'revoked' }]);
  expect(bob.closes).toHaveLength(2);
});

const GOODBYE = { code: 1012, reason: 'disconnected' };
