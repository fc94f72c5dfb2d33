import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { expect, inject, test, vi } from 'vitest';
import { atTestEnd } from '../helpers/cleanup.ts';
import { type Client, connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { textOf } from '../helpers/editor.ts';
import { ownPrefix } from '../helpers/instances.ts';
import { valueOf } from '../helpers/metrics.ts';
import { freePort } from '../helpers/ports.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { type RedisServer, startRedisServer } from '../helpers/redis.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';

const run = promisify(execFile);

/** Of a Redis Cluster. */
const SLOTS = 16_384;
/** Documents, so that channels are on several nodes. */
const DOCUMENTS = 8;

/** Two instances, in processes of their own. */
async function startPair(env: Record<string, string>): Promise<[ServerProcess, ServerProcess]> {
  const storage = await createStorage('postgres');
  const settings = { REDIS_PREFIX: ownPrefix(), ...env };
  const [one, other] = [await spawnServer(storage, settings), await spawnServer(storage, settings)];
  for (const { url } of [one, other]) await readinessBecomes(url, { status: 'ready', redis: 'there' });
  return [one, other];
}

interface Pair {
  author: Client<unknown>;
  reader: Client<unknown>;
}

/** In each document somebody at the one, and somebody at the other. */
async function joinAll(one: ServerProcess, other: ServerProcess): Promise<Pair[]> {
  return Promise.all(
    Array.from({ length: DOCUMENTS }, async (_, index) => {
      const author = connectYWebsocket(one.url, `document-${index}`, { acks: true });
      const reader = connectHocuspocus(other.url, `document-${index}`);
      await Promise.all([author.synced(), reader.synced()]);
      return { author, reader };
    }),
  );
}

/** Fails unless what the one types is seen by the other, and acknowledged. */
async function typeInAll(pairs: Pair[], text: string, deadlineMs?: number): Promise<void> {
  for (const { author } of pairs) author.doc.getText('content').insert(0, text);
  for (const { author, reader } of pairs) {
    await reader.sees((doc) => textOf(doc).startsWith(text), deadlineMs);
    await author.saved();
    expect(textOf(reader.doc)).toBe(textOf(author.doc));
  }
}

/** Of a Redis Cluster, with a connection to ask it things. */
interface Node {
  readonly server: RedisServer;
  readonly admin: Redis;
}

async function startNode(args: string[] = []): Promise<Node> {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
  const server = await startRedisServer([...cluster, ...args]);
  const admin = new Redis(server.url, { retryStrategy: () => null });
  // Of one that is killed.
  admin.on('error', () => {});
  atTestEnd(async () => admin.disconnect());
  return { server, admin };
}

/** Three masters that share the slots. */
async function startRedisCluster(): Promise<[Node, Node, Node]> {
  const nodes = await Promise.all([startNode(), startNode(), startNode()]);
  for (const [index, { admin }] of nodes.entries()) {
    const from = Math.floor((SLOTS * index) / nodes.length);
    const to = Math.floor((SLOTS * (index + 1)) / nodes.length) - 1;
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
    await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  }
  for (const { server } of nodes) await meet(nodes[0], server);
  for (const node of nodes) await clusterBecomes(node, /cluster_state:ok[^]*cluster_known_nodes:3/);
  return nodes;
}

async function meet({ admin }: Node, { port, busPort }: RedisServer): Promise<void> {
  await admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort);
}

async function clusterBecomes({ admin }: Node, expected: RegExp): Promise<void> {
  await vi.waitFor(async () => expect(await admin.call('CLUSTER', 'INFO')).toMatch(expected), 20_000);
}

/** With this one the documents above are on all of three nodes. */
const PREFIX = 'indelible';

const addressOf = (nodes: Node[]) => ({
  REDIS_URL: nodes.map(({ server }) => server.url).join(),
  REDIS_CLUSTER: 'true',
  REDIS_PREFIX: PREFIX,
});

/** How many subscriptions there are at each node. */
function subscriptionsAt(nodes: Node[]): Promise<number[]> {
  return Promise.all(
    nodes.map(async ({ admin }) => {
      const channels = (await admin.pubsub('SHARDCHANNELS')) as string[];
      const counts = (await admin.pubsub('SHARDNUMSUB', ...channels)) as (string | number)[];
      return sum(counts.filter((count) => typeof count === 'number'));
    }),
  );
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);

test('[N11] the nodes of a Redis Cluster share the channels', async () => {
  const nodes = await startRedisCluster();
  const [one, other] = await startPair(addressOf(nodes));
  const pairs = await joinAll(one, other);
  await typeInAll(pairs, 'one');
  await typeInAll(pairs, 'two');
  expect(await valueOf(other.url, 'indelible_gaps_repaired_total')).toBe(0);
  const subscriptions = await subscriptionsAt(nodes);
  expect(Math.min(...subscriptions)).toBeGreaterThan(0);
  // Each of the two hears the documents, what all are told, and what it is told itself.
  expect(sum(subscriptions)).toBe(2 * (DOCUMENTS + 2));
});

test.for([
  ['killed', 'heartbeats', 0],
  ['frozen', 'heartbeats', 0],
  ['killed', 'documents only', 1],
  ['frozen', 'documents only', 1],
] as const)(
  '[N11] when a node of a Redis Cluster is %s that has %s, instances go on with its replica',
  { timeout: 90_000 },
  async ([fault, , next]) => {
    const masters = await startRedisCluster();
    const slot = (await masters[0].admin.call('CLUSTER', 'KEYSLOT', `${PREFIX}/3#all`)) as number;
    const ofHeartbeats = Math.floor((slot * masters.length) / SLOTS);
    const failing = masters[(ofHeartbeats + next) % masters.length] as Node;
    const replica = await startNode();
    await meet(failing, replica.server);
    await clusterBecomes(replica, /cluster_known_nodes:4/);
    await replica.admin.call('CLUSTER', 'REPLICATE', (await failing.admin.call('CLUSTER', 'MYID')) as string);
    const role = async () => ((await replica.admin.call('ROLE')) as [string, ...unknown[]]).slice(0, 4);
    const isInStep = async () =>
      expect(await role()).toEqual(['slave', '127.0.0.1', failing.server.port, 'connected']);
    await vi.waitFor(isInStep, 20_000);

    const [one, other] = await startPair(addressOf(masters));
    const pairs = await joinAll(one, other);
    await typeInAll(pairs, 'before');
    const subscriptions = await subscriptionsAt(masters);
    expect(Math.min(...subscriptions)).toBeGreaterThan(0);
    if (fault === 'killed') await failing.server.kill();
    else failing.server.freeze();
    await typeInAll(pairs, 'meanwhile', 20_000);
    await vi.waitFor(async () => expect((await role())[0]).toBe('master'), 20_000);
    for (const { url } of [one, other]) await readinessBecomes(url, { status: 'ready', redis: 'there' });
    const mastersNow = masters.map((master) => (master === failing ? replica : master));
    // None is missing, and none is left of connections that were replaced.
    const areMoved = async () => expect(await subscriptionsAt(mastersNow)).toEqual(subscriptions);
    await vi.waitFor(areMoved, 20_000);
    await typeInAll(pairs, 'after');
    if (fault === 'frozen') failing.server.thaw();
  },
);

test('[N11] when the master fails that Sentinels know, of whom one is silent, instances go on with the next one', async () => {
  const master = await startRedisServer();
  const replica = await startRedisServer(['--replicaof', `127.0.0.1 ${master.port}`]);
  const directory = await mkdtemp(join(tmpdir(), 'indelible-sentinel-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const config = join(directory, 'sentinel.conf');
  await writeFile(
    config,
    `sentinel monitor shop 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds shop 1000
sentinel failover-timeout shop 3000
`,
  );
  const sentinel = await startRedisServer([], config);
  const admin = new Redis(sentinel.url);
  const replicas = async () => (await admin.call('SENTINEL', 'REPLICAS', 'shop')) as unknown[];
  await vi.waitFor(async () => expect(await replicas()).toHaveLength(1), 20_000);

  const silent = await startRedisServer();
  silent.freeze();
  const [one, other] = await startPair({
    REDIS_URL: `${silent.url},${sentinel.url}`,
    REDIS_SENTINEL: 'shop',
  });
  const pairs = await joinAll(one, other);
  await typeInAll(pairs, 'before');
  await master.kill();
  const current = async () => (await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'shop')) as string[];
  // Busy, Sentinel may not find the other one good enough at first, and tries again after twice its timeout.
  const isReplaced = async () => expect(Number((await current())[1])).toBe(replica.port);
  await Promise.all([typeInAll(pairs, 'meanwhile', 20_000), vi.waitFor(isReplaced, 40_000)]);
  for (const { url } of [one, other]) await readinessBecomes(url, { status: 'ready', redis: 'there' });
  await typeInAll(pairs, 'after');
  for (const { url } of [one, other]) {
    expect(await valueOf(url, 'indelible_redis_reconnects_total')).toBeGreaterThanOrEqual(2);
  }
  admin.disconnect();
}, 90_000);

/** A certificate that nobody else has signed, and what a Redis is told of it. */
async function makeCertificate(subjectAltName: string): Promise<{ certificate: string; tls: string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'indelible-tls-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  const subject = ['-subj', '/CN=redis', '-addext', `subjectAltName=${subjectAltName}`];
  const files = ['-keyout', key, '-out', certificate];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files]);
  const own = ['--tls-cert-file', certificate, '--tls-key-file', key];
  return { certificate, tls: [...own, '--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no'] };
}

test('[N11] Redis is reached over TLS, with a user and a password, and not with a certificate that nobody knows', async () => {
  const { tls, certificate } = await makeCertificate('IP:127.0.0.1');
  const tlsPort = await freePort();
  const user = ['--user', 'editor', 'on', '>p@ss', '&*', '+@all'];
  await startRedisServer(['--tls-port', `${tlsPort}`, ...tls, ...user]);

  const REDIS_URL = `rediss://editor:p%40ss@127.0.0.1:${tlsPort}`;
  const [one, other] = await startPair({ REDIS_URL, NODE_EXTRA_CA_CERTS: certificate });
  await typeInAll(await joinAll(one, other), 'secret');
  const stranger = await spawnServer(await createStorage('postgres'), { REDIS_URL });
  await stranger.line(/self-signed certificate/);
  expect(await readiness(stranger.url)).toMatchObject({ code: 200, status: 'degraded', redis: 'away' });
});

test('[N11] nodes of a Redis Cluster are reached over TLS by their names, which are what certificates have', async () => {
  const { tls, certificate } = await makeCertificate('DNS:localhost');
  const tlsPort = await freePort();
  const names = ['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname'];
  const node = await startNode(['--tls-port', `${tlsPort}`, '--tls-cluster', 'yes', ...tls, ...names]);
  await node.admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, SLOTS - 1);
  await clusterBecomes(node, /cluster_state:ok/);

  const REDIS_URL = `rediss://localhost:${tlsPort}`;
  const settings = { REDIS_URL, REDIS_CLUSTER: 'true', NODE_EXTRA_CA_CERTS: certificate };
  const [one, other] = await startPair(settings);
  await typeInAll(await joinAll(one, other), 'secret');
  expect(await readiness(one.url)).toMatchObject({ status: 'ready' });
});

test('[N11] installations with different prefixes share a Redis, and hear nothing of each other', async () => {
  const storage = await createStorage('postgres');
  const start = (prefix: string) =>
    spawnServer(storage, { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: prefix });
  const [one, other] = [await start(ownPrefix()), await start(ownPrefix())];
  for (const { url } of [one, other]) await readinessBecomes(url, { status: 'ready' });
  const pairs = await joinAll(one, other);
  // They share a database, so they are the same through that.
  await typeInAll(pairs, 'far', 20_000);
  for (const { url } of [one, other]) {
    const relayed = await valueOf(url, 'indelible_relay_latency_seconds_count');
    expect(relayed).toBe(0);
  }
});
