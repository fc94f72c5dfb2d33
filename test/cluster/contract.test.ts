import { expect, inject, test, vi } from 'vitest';
import * as Y from 'yjs';
import {
  ALONE,
  type Answer,
  type Cluster,
  type ClusterEvents,
  type ConnectionInfo,
} from '../../server/cluster/cluster.ts';
import { RedisCluster } from '../../server/cluster/redis-cluster.ts';
import { Metrics } from '../../server/metrics.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { typist } from '../helpers/editor.ts';
import { ownPrefix } from '../helpers/instances.ts';
import { silent } from '../helpers/storage.ts';

const DOCUMENT = 'notes';
const TIMELINE = 'system/00000001';
const EVERYTHING = Y.encodeStateVector(new Y.Doc());

/** What a cluster has said, in order. */
type Said = [event: keyof ClusterEvents, ...args: unknown[]];

interface Member {
  cluster: Cluster;
  said: Said[];
  /** Holds when it has said so, as often; answers with what came with it. */
  hears(event: keyof ClusterEvents, times?: number): Promise<unknown[][]>;
}

/** Who is connected to every document, at each of them. */
const HERE: ConnectionInfo[] = [{ user: 'anna', access: 'write', protocol: 'y-websocket', presence: [{}] }];

/** @param answer - to whoever asks */
function listen(cluster: Cluster, answer: Answer | null = null): Member {
  const said: Said[] = [];
  const note =
    (event: keyof ClusterEvents) =>
    (...args: unknown[]): void =>
      void said.push([event, ...args]);
  cluster.listen({
    updated: note('updated'),
    asked: (...args) => {
      note('asked')(...args);
      return answer;
    },
    answered: note('answered'),
    presence: note('presence'),
    missed: note('missed'),
    stored: note('stored'),
    committed: note('committed'),
    damaged: note('damaged'),
    left: note('left'),
    returned: note('returned'),
    reconnected: note('reconnected'),
    revoked: note('revoked'),
    deleted: note('deleted'),
    connectionsTo: () => HERE,
    disconnected: note('disconnected'),
  });
  const heard = (event: keyof ClusterEvents) =>
    said.filter(([what]) => what === event).map(([, ...args]) => args);
  const hears = async (event: keyof ClusterEvents, times = 1) => {
    await vi.waitFor(() => expect(heard(event)).toHaveLength(times), 5_000);
    return heard(event);
  };
  return { cluster, said, hears };
}

function create(prefix: string, url = inject('redisUrl'), timeline = () => TIMELINE): RedisCluster {
  const address = { urls: [url], isCluster: false, sentinel: undefined };
  const cluster = new RedisCluster({ address, prefix, timeline, log: silent, metrics: new Metrics() });
  atTestEnd(() => cluster.close());
  return cluster;
}

const logOf = ({ cluster }: Member, term = 0) => `${cluster.instance}/${TIMELINE}.${term}`;

/** Two that reach each other, in one document. */
async function pair(answer: Answer | null = null): Promise<[Member, Member]> {
  const prefix = ownPrefix();
  const members: [Member, Member] = [listen(create(prefix), answer), listen(create(prefix))];
  await Promise.all(members.map((member) => member.hears('reconnected')));
  for (const { cluster } of members) cluster.join(DOCUMENT);
  await vi.waitFor(() => expect(members[0].cluster.hears(members[1].cluster.instance)).toBe(true), 5_000);
  // Whoever is asked hears of the document.
  await Promise.all(members.map(({ cluster }) => cluster.ask(DOCUMENT, EVERYTHING, 'joining')));
  for (const { said } of members) said.splice(0);
  return members;
}

test.for<[kind: string, create: () => Cluster]>([
  ['one instance alone', () => ALONE],
  ['Redis', () => create(ownPrefix())],
  ['a Redis that is not there', () => create(ownPrefix(), 'redis://127.0.0.1:9')],
])('[N5] whatever is said to %s, nothing throws, and nobody waits for more than a second', async ([, of]) => {
  const { cluster } = listen(of());
  const update = typist()('text');
  const say = async () => {
    cluster.join(DOCUMENT);
    cluster.join(DOCUMENT);
    cluster.relay(DOCUMENT, update, 1);
    cluster.tellPresence(DOCUMENT, [1], () => null);
    cluster.committed(1);
    cluster.refused();
    cluster.stored(DOCUMENT);
    cluster.damaged(DOCUMENT);
    cluster.revoked();
    cluster.deleted({ document: DOCUMENT, id: '7' });
    cluster.disconnect({ user: 'alice' });
    expect(await cluster.connectionsTo(DOCUMENT)).toEqual([]);
    const since = performance.now();
    await cluster.ask(DOCUMENT, EVERYTHING, 'joining');
    expect(performance.now() - since).toBeLessThan(1_500);
    cluster.leave(DOCUMENT);
    cluster.leave(DOCUMENT);
    cluster.relay(DOCUMENT, update, 2);
  };
  await say();
  await cluster.close();
  await say();
});

test('[N1] what a turn brings is one message, and what was said before leaving is told', async () => {
  const [one, other] = await pair();
  const type = typist();
  const expected = new Y.Doc();
  for (const [index, word] of ['one ', 'two ', 'three'].entries()) {
    const update = type(word);
    Y.applyUpdate(expected, update);
    one.cluster.relay(DOCUMENT, update, 7 + index);
    one.cluster.tellPresence(DOCUMENT, [index, 0], (ids) => Uint8Array.from(ids));
  }
  one.cluster.leave(DOCUMENT);
  const [[name, bytes, position]] = (await other.hears('updated')) as [[string, Uint8Array, unknown]];
  const received = new Y.Doc();
  Y.applyUpdate(received, bytes);
  expect(name).toBe(DOCUMENT);
  expect(received.getText('content').toString()).toBe(expected.getText('content').toString());
  expect(position).toEqual({ log: logOf(one), sequence: 9 });
  expect(await other.hears('presence')).toEqual([
    [DOCUMENT, Uint8Array.from([0, 1, 2]), one.cluster.instance],
  ]);
  // It hears no more of it, and nobody misses anything.
  other.cluster.relay(DOCUMENT, type('four'), 1);
  other.cluster.revoked();
  await one.hears('revoked');
  expect(one.said.map(([event]) => event)).not.toContain('updated');
  expect(other.said.map(([event]) => event)).not.toContain('missed');
});

test('[N2] others are told what is committed, in the life of the log that it belongs to', async () => {
  const [one, other] = await pair();
  const type = typist();
  one.cluster.relay(DOCUMENT, type('a'), 4);
  await other.hears('updated');
  one.cluster.committed(4);
  const log = logOf(one);
  await vi.waitFor(() => expect(other.said).toContainEqual(['committed', { log, sequence: 4 }]), 5_000);
  one.cluster.refused();
  one.cluster.relay(DOCUMENT, type('b'), 6);
  const [, [, , position]] = (await other.hears('updated', 2)) as [unknown[], unknown[]];
  expect(position).toEqual({ log: logOf(one, 1), sequence: 6 });
});

test('[N4] all who have a document open answer, and who has nothing to say does so, too', async () => {
  const answer = { update: typist()('text'), sequence: 5, presence: Uint8Array.from([0]), pending: '[]' };
  const [one, other] = await pair(answer);
  expect(await other.cluster.ask(DOCUMENT, EVERYTHING, 'comparing')).toBe(true);
  expect(await one.hears('asked')).toEqual([[DOCUMENT, EVERYTHING, 'comparing']]);
  const position = { log: logOf(one), sequence: 5 };
  expect(await other.hears('answered')).toEqual([[DOCUMENT, answer, position, one.cluster.instance]]);
  // Who has nothing to say may not have it open, and somebody else may have closed it just now.
  expect(await one.cluster.ask(DOCUMENT, EVERYTHING, 'joining')).toBe(false);
  expect(one.said.map(([event]) => event)).not.toContain('answered');
  // Who could not be reached for a while may lack a deletion, which no state vector shows.
  expect(await other.cluster.ask(DOCUMENT, EVERYTHING, 'returning')).toBe(false);
  expect(await other.cluster.ask(DOCUMENT, EVERYTHING, 'checking')).toBe(true);
});

test('[N4] who has just started, or had company until now, does not take itself for alone', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  atTestEnd(() => vi.useRealTimers());
  const one = listen(create(ownPrefix()));
  await one.hears('reconnected');
  one.cluster.join(DOCUMENT);
  const isComplete = () => one.cluster.ask(DOCUMENT, EVERYTHING, 'joining');
  expect(await isComplete()).toBe(false);
  vi.advanceTimersByTime(60_000);
  await vi.waitFor(async () => expect(await isComplete()).toBe(true), 5_000);
});

test('[O4] what is stored by who does not have a document open is told to who has', async () => {
  const [one, other] = await pair();
  one.cluster.leave(DOCUMENT);
  one.cluster.stored(DOCUMENT);
  expect(await other.hears('stored')).toEqual([[DOCUMENT]]);
  expect(other.said.map(([event]) => event)).not.toContain('missed');
});

test('[O9] [O12] that something was deleted is told to all, and all tell who is connected', async () => {
  const [one, other] = await pair();
  one.cluster.deleted({ document: DOCUMENT, id: '7', to: 'other' });
  one.cluster.deleted({ document: DOCUMENT, id: '8' });
  expect(await other.hears('deleted', 2)).toEqual([
    [{ document: DOCUMENT, id: '7', to: 'other' }],
    [{ document: DOCUMENT, id: '8', to: undefined }],
  ]);
  expect(await one.cluster.connectionsTo(DOCUMENT)).toEqual(HERE);
});

test('[N1] [N3] an update that is told with whose it is goes by itself, after those before it', async () => {
  const [one, other] = await pair();
  const type = typist();
  const [first, second, third] = [type('one '), type('two '), type('three')];
  one.cluster.relay(DOCUMENT, first, 1);
  one.cluster.relay(DOCUMENT, second, 2, '{"author":"anna"}');
  one.cluster.relay(DOCUMENT, third, 3);
  const log = logOf(one);
  expect(await other.hears('updated', 3)).toEqual([
    [DOCUMENT, first, { log, sequence: 1 }, ''],
    [DOCUMENT, second, { log, sequence: 2 }, '{"author":"anna"}'],
    [DOCUMENT, third, { log, sequence: 3 }, ''],
  ]);
  expect(other.said.map(([event]) => event)).not.toContain('missed');
});

test('[N2] what the database of another history has committed confirms nothing here', async () => {
  const prefix = ownPrefix();
  const next = 'system/00000002';
  const members = [next, next, TIMELINE].map((timeline) =>
    listen(create(prefix, inject('redisUrl'), () => timeline)),
  );
  const [one, follower, behind] = members as [Member, Member, Member];
  await Promise.all(members.map((member) => member.hears('reconnected')));
  for (const { cluster } of members) cluster.join(DOCUMENT);
  await Promise.all(members.map(({ cluster }) => cluster.ask(DOCUMENT, EVERYTHING, 'joining')));
  one.cluster.relay(DOCUMENT, typist()('text'), 3);
  one.cluster.committed(3);
  const log = `${one.cluster.instance}/${next}.0`;
  await vi.waitFor(() => expect(follower.said).toContainEqual(['committed', { log, sequence: 3 }]), 5_000);
  one.cluster.revoked();
  await behind.hears('revoked');
  const told = behind.said.filter(([event]) => event === 'updated' || event === 'committed');
  expect(told).toEqual([['updated', DOCUMENT, expect.anything(), { log, sequence: 3 }, '']]);
});

test('[N8] [N10] who closes is known to have left, and what concerns connections is told to all', async () => {
  const [one, other] = await pair();
  one.cluster.disconnect({ document: DOCUMENT });
  one.cluster.disconnect({ user: 'alice' });
  expect(await other.hears('disconnected', 2)).toEqual([
    [{ document: DOCUMENT, user: undefined }],
    [{ document: undefined, user: 'alice' }],
  ]);
  await one.cluster.close();
  expect(await other.hears('left')).toEqual([[one.cluster.instance]]);
  expect(other.cluster.hears(one.cluster.instance)).toBe(false);
});
