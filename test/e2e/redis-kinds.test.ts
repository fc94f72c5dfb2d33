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

async function startNode(): Promise<Node> {
  const server = await startRedisServer(['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']);
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

const addressOf = (nodes: Node[]) => ({
  REDIS_URL: nodes.map(({ server }) => server.url).join(),
  REDIS_CLUSTER: 'true',
});

/** How many channels have subscribers at each node. */
function channelsAt(nodes: Node[]): Promise<number[]> {
  return Promise.all(
    nodes.map(async ({ admin }) => ((await admin.pubsub('SHARDCHANNELS')) as string[]).length),
  );
}

test('[N11] the nodes of a Redis Cluster share the channels', async () => {
  const nodes = await startRedisCluster();
  const [one, other] = await startPair(addressOf(nodes));
  const pairs = await joinAll(one, other);
  await typeInAll(pairs, 'one');
  await typeInAll(pairs, 'two');
  expect(await valueOf(other.url, 'indelible_gaps_repaired_total')).toBe(0);
  const channels = await channelsAt(nodes);
  // Each has some, and together they have those of the documents, of all, and of two instances.
  expect(Math.min(...channels)).toBeGreaterThan(0);
  expect(channels.reduce((sum, count) => sum + count)).toBe(DOCUMENTS + 3);
});

test.for(['killed', 'frozen'])(
  '[N11] when a node of a Redis Cluster is %s that has documents, instances go on with its replica',
  { timeout: 90_000 },
  async (fault) => {
    const masters = await startRedisCluster();
    const prefix = ownPrefix();
    // Not the one that passes heartbeats on: ioredis 5.11 does not come back from that (README.md, Not there yet).
    const slot = (await masters[0].admin.call('CLUSTER', 'KEYSLOT', `${prefix}/2#all`)) as number;
    const failing = masters[(Math.floor((slot * masters.length) / SLOTS) + 1) % masters.length] as Node;
    const replica = await startNode();
    await meet(failing, replica.server);
    await clusterBecomes(replica, /cluster_known_nodes:4/);
    await replica.admin.call('CLUSTER', 'REPLICATE', (await failing.admin.call('CLUSTER', 'MYID')) as string);
    const role = async () => ((await replica.admin.call('ROLE')) as [string, ...unknown[]]).slice(0, 4);
    const isInStep = async () =>
      expect(await role()).toEqual(['slave', '127.0.0.1', failing.server.port, 'connected']);
    await vi.waitFor(isInStep, 20_000);

    const [one, other] = await startPair({ ...addressOf(masters), REDIS_PREFIX: prefix });
    const pairs = await joinAll(one, other);
    await typeInAll(pairs, 'before');
    const [channels] = await channelsAt([failing]);
    expect(channels).toBeGreaterThan(0);
    if (fault === 'killed') await failing.server.kill();
    else failing.server.freeze();
    await typeInAll(pairs, 'meanwhile', 20_000);
    await vi.waitFor(async () => expect((await role())[0]).toBe('master'), 20_000);
    for (const { url } of [one, other]) await readinessBecomes(url, { status: 'ready', redis: 'there' });
    await vi.waitFor(async () => expect(await channelsAt([replica])).toEqual([channels]), 20_000);
    await typeInAll(pairs, 'after');
    if (fault === 'frozen') failing.server.thaw();
  },
);

test('[N11] when the master fails that Sentinels know, instances go on with the next one', async () => {
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

  const [one, other] = await startPair({ REDIS_URL: sentinel.url, REDIS_SENTINEL: 'shop' });
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

test('[N11] Redis is reached over TLS, with a user and a password, and not with a certificate that nobody knows', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'indelible-tls-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', certificate];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files]);
  const tlsPort = await freePort();
  const tls = ['--tls-port', `${tlsPort}`, '--tls-cert-file', certificate, '--tls-key-file', key];
  const user = ['--user', 'editor', 'on', '>p@ss', '&*', '+@all'];
  await startRedisServer([...tls, '--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no', ...user]);

  const REDIS_URL = `rediss://editor:p%40ss@127.0.0.1:${tlsPort}`;
  const [one, other] = await startPair({ REDIS_URL, NODE_EXTRA_CA_CERTS: certificate });
  await typeInAll(await joinAll(one, other), 'secret');
  const stranger = await spawnServer(await createStorage('postgres'), { REDIS_URL });
  await stranger.line(/self-signed certificate/);
  expect(await readiness(stranger.url)).toMatchObject({ code: 200, status: 'degraded', redis: 'away' });
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
