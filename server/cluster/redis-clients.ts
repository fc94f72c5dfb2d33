import { Cluster as RedisCluster, Redis, type RedisOptions } from 'ioredis';

/** Tries again so soon after a connection has ended, at most. */
const RETRY_MAX_MS = 500;
/** A connection that is not there by then will not be. */
const CONNECT_MS = 2_000;
/** Nor will an answer. Heartbeats notice it of one server; of a cluster they go to one node only. */
const ANSWER_MS = 3_000;

/** Where Redis is. */
export interface RedisAddress {
  /** One server; or some nodes of a cluster, or the Sentinels. */
  readonly urls: readonly string[];
  readonly isCluster: boolean;
  /** The name by which Sentinels know the master. */
  readonly sentinel: string | undefined;
}

/** A connection, to one server or to all nodes of a cluster. */
export type RedisClient = Redis | RedisCluster;

/** What is not sent at once is not sent at all: instances compare what they have when they reach each other again. */
const PUBLISHER: RedisOptions = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
};
/** What is to be heard is asked for when it is ready, each time. */
const SUBSCRIBER: RedisOptions = { ...PUBLISHER, autoResubscribe: false };

export function connectPublisher(address: RedisAddress): RedisClient {
  return connect(address, PUBLISHER);
}

export function connectSubscriber(address: RedisAddress): RedisClient {
  return connect(address, SUBSCRIBER);
}

function connect({ urls, isCluster, sentinel }: RedisAddress, role: RedisOptions): RedisClient {
  const [first] = urls.map((url) => new URL(url)) as [URL];
  const common: RedisOptions = {
    ...role,
    ...(first.username !== '' && { username: decodeURIComponent(first.username) }),
    ...(first.password !== '' && { password: decodeURIComponent(first.password) }),
    ...(first.protocol === 'rediss:' && { tls: {} }),
    connectTimeout: CONNECT_MS,
    socketTimeout: ANSWER_MS,
    retryStrategy: retry,
  };
  const nodes = urls.map((url) => ({ host: hostOf(new URL(url)), port: Number(new URL(url).port || 6379) }));
  if (isCluster) {
    return new RedisCluster(nodes, {
      redisOptions: common,
      enableOfflineQueue: role.enableOfflineQueue ?? true,
      clusterRetryStrategy: retry,
      slotsRefreshTimeout: CONNECT_MS,
      // By name, as certificates have them.
      dnsLookup: (address, callback) => callback(null, address),
      // Each message goes to the nodes of its channel only.
      shardedSubscribers: true,
    });
  }
  if (sentinel === undefined)
    return new Redis({ ...common, ...nodes[0], db: Number(first.pathname.slice(1) || 0) });
  return new Redis({
    ...common,
    name: sentinel,
    sentinels: nodes,
    sentinelRetryStrategy: retry,
    // One that does not answer is passed over.
    sentinelCommandTimeout: CONNECT_MS,
    enableTLSForSentinelMode: first.protocol === 'rediss:',
    ...(first.protocol === 'rediss:' && { sentinelTLS: {} }),
    ...(first.password !== '' && { sentinelPassword: decodeURIComponent(first.password) }),
  });
}

/**
 * Which nodes of a cluster have which channels. Not by the library's own interval: a connection that is ended while it asks goes on
 * asking for ever (seen with ioredis 5.11).
 */
export function lookUpNodes(client: RedisClient): void {
  if (client instanceof RedisCluster && client.status === 'ready') client.refreshSlotsCache();
}

const retry = (times: number) => Math.min(times * 50, RETRY_MAX_MS);

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}
