import proxyAddress from 'proxy-addr';
import { z } from 'zod';
import { IndelibleError } from './errors.ts';

const MB = 1024 * 1024;

const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER) =>
  // A blank would become 0.
  z.preprocess(
    (value) => (typeof value === 'string' && value.trim() === '' ? value : Number(value)),
    z.int().min(minimum).max(maximum),
  );

function isProxyAddress(text: string): boolean {
  try {
    proxyAddress.compile(text);
    return true;
  } catch {
    return false;
  }
}

function isOrigin(text: string): boolean {
  return URL.parse(text)?.origin === text;
}

function isRedis(text: string): boolean {
  return ['redis:', 'rediss:'].includes(URL.parse(text)?.protocol ?? '');
}

/** From the environment it is text. */
const flag = z.preprocess(
  (value) => (value === 'true' ? true : value === 'false' ? false : value),
  z.boolean().default(false),
);

/** An array, or text with commas in between. */
const listOf = (isGood: (text: string) => boolean, problem: string) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((text) => text.trim()) : value),
    z.array(z.string().refine(isGood, problem)).optional(),
  );

interface Setting<S extends z.ZodType = z.ZodType> {
  readonly env: string;
  readonly schema: S;
  readonly help: string;
}

const setting = <S extends z.ZodType>(env: string, schema: S, help: string): Setting<S> => ({
  env,
  schema,
  help,
});

/** The one table of settings: option name -> environment variable, type with default, help. */
const table = {
  port: setting('PORT', integer(0, 65_535).default(1234), 'TCP port; 0 takes a free one'),
  host: setting(
    'HOST',
    z.string().min(1).default('127.0.0.1'),
    'address to listen on; 0.0.0.0 for every interface',
  ),
  workers: setting(
    'WORKERS',
    z.preprocess(
      (value) => (value === 'auto' ? navigator.hardwareConcurrency : value),
      integer(1, 1024).default(1),
    ),
    'processes that `indelible serve` runs on one port, or auto for one per processor; with DATABASE_URL and REDIS_URL. Every limit is one of each process',
  ),
  dataDir: setting(
    'DATA_DIR',
    z.string().min(1).default('./data'),
    'directory of the embedded database, used when DATABASE_URL is not set',
  ),
  databaseUrl: setting(
    'DATABASE_URL',
    z.url({ protocol: /^postgres(ql)?$/ }).optional(),
    'Postgres 15 or newer, as postgres://user:password@host:port/database',
  ),
  redisUrl: setting(
    'REDIS_URL',
    listOf(isRedis, 'a Redis looks like redis://user:password@host:port, or rediss://… with TLS'),
    'Redis, for several instances on one Postgres: redis://user:password@host:port, or rediss://… with TLS; with commas in between, nodes of a cluster or Sentinels',
  ),
  redisCluster: setting('REDIS_CLUSTER', flag, 'true when REDIS_URL names nodes of a Redis Cluster'),
  redisSentinel: setting(
    'REDIS_SENTINEL',
    z.string().min(1).optional(),
    'name of the master, when REDIS_URL names Sentinels',
  ),
  redisPrefix: setting(
    'REDIS_PREFIX',
    z.string().min(1).default('indelible'),
    'of the names of all channels; installations that share a Redis need different ones',
  ),
  jwtSecret: setting(
    'JWT_SECRET',
    z.string().min(32).optional(),
    'HS256 key of at least 32 characters; with it every client needs a token',
  ),
  jwksUrl: setting(
    'JWKS_URL',
    z.url({ protocol: /^https?$/ }).optional(),
    'where an identity provider publishes its keys (RS256, ES256, EdDSA), instead of JWT_SECRET; new keys are found without a restart',
  ),
  jwtIssuer: setting(
    'JWT_ISSUER',
    z.string().min(1).optional(),
    'tokens of any other issuer (iss) are refused; any may issue them when left out',
  ),
  jwtAudience: setting(
    'JWT_AUDIENCE',
    z.string().min(1).optional(),
    'tokens that are not for this audience (aud) are refused; set it where other services trust the same keys',
  ),
  devTokens: setting(
    'DEV_TOKENS',
    flag,
    'for trying things out: true gives a token for any document to everybody who asks (POST /api/dev/tokens), signed with JWT_SECRET; never in production',
  ),
  authMode: setting(
    'AUTH',
    z.literal('none').optional(),
    "'none' says that everybody may do everything is meant: without a key the server listens on loopback only, unless it is set",
  ),
  allowedOrigins: setting(
    'ALLOWED_ORIGINS',
    listOf(isOrigin, 'an origin looks like https://app.example.org'),
    'web pages that may connect, as https://app.example.org,https://…; else those of the same host, and without a key those on this machine',
  ),
  trustProxy: setting(
    'TRUST_PROXY',
    listOf(isProxyAddress, 'an address, a subnet, or loopback, linklocal, uniquelocal'),
    'proxies whose X-Forwarded-For says who the client is, as 10.0.0.0/8,loopback; else the address of the connection counts',
  ),
  keepDeletedHours: setting(
    'KEEP_DELETED_HOURS',
    integer(0, 876_000).default(720),
    'hours for which a deleted document can be restored; then what is stored of it is erased',
  ),
  logLevel: setting(
    'LOG_LEVEL',
    z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    'least severe level that is logged',
  ),
  drainMs: setting(
    'DRAIN_MS',
    integer(0, 600_000).default(3000),
    'on SIGTERM sockets are closed one after the other over this time, so that clients do not all return at once',
  ),
  shutdownMs: setting(
    'SHUTDOWN_MS',
    integer(0, 600_000).default(25_000),
    'on SIGTERM the process ends at the latest after this time; below the usual grace period of 30 s',
  ),
  heartbeatMs: setting(
    'HEARTBEAT_MS',
    integer(10, 600_000).default(15_000),
    'sockets are pinged this often; a peer that misses two pings is gone, that is within three times this',
  ),
  limitAuthMs: setting(
    'LIMIT_AUTH_MS',
    integer(100, 600_000).default(10_000),
    'a Hocuspocus socket brings its token in a frame: this long it may take; the slowest phone needs a second or two',
  ),
  limitFrameBytes: setting(
    'LIMIT_FRAME_BYTES',
    integer(1024).default(8 * MB),
    'largest WebSocket frame that is read; one edit, or all offline edits of a client together, up to a whole document that a client brings back',
  ),
  limitQueueBytes: setting(
    'LIMIT_QUEUE_BYTES',
    integer(1024).default(64 * MB),
    'updates that may wait for the database; when they reach it, sockets are not read until it is back. As much again may wait in frames for documents that are opening',
  ),
  limitUpdateStructs: setting(
    'LIMIT_UPDATE_STRUCTS',
    integer(1).default(1_000_000),
    'structs and deleted ranges of one update, each of which becomes an object in memory',
  ),
  limitUpdateClients: setting(
    'LIMIT_UPDATE_CLIENTS',
    integer(1).default(100_000),
    'clients whose edits one update may hold; every page load is a new one',
  ),
  limitSendBytes: setting(
    'LIMIT_SEND_BYTES',
    integer(64 * 1024).default(4 * MB),
    'bytes that may wait for one slow client; at a quarter it gets no more presence, at the limit its socket is closed and syncs again',
  ),
  limitConnections: setting(
    'LIMIT_CONNECTIONS',
    integer(1).optional(),
    'sockets in all; else what the limit of open files allows, which is checked at start',
  ),
  limitConnectionsPerAddress: setting(
    'LIMIT_CONNECTIONS_PER_ADDRESS',
    integer(0).default(0),
    'sockets from one address; off (0), since a school or a company has one; behind a proxy set TRUST_PROXY too',
  ),
  limitConnectionsPerDocument: setting(
    'LIMIT_CONNECTIONS_PER_DOCUMENT',
    integer(1).default(5_000),
    'connections to one document; each edit is sent to all of them',
  ),
  limitDocuments: setting(
    'LIMIT_DOCUMENTS',
    integer(1, 100_000).default(100),
    'documents that one Hocuspocus socket may have open; each is held in memory',
  ),
  limitFrames: setting(
    'LIMIT_FRAMES',
    integer(1).default(5_000),
    'frames a second of one socket, ten times as many at once; above it is read more slowly, and nothing is dropped; a y-websocket tab repeats everybody’s cursors, a thousand a second in a lively room',
  ),
  limitBytes: setting('LIMIT_BYTES', integer(1024).default(4 * MB), 'bytes a second of one socket, likewise'),
  limitUserFrames: setting(
    'LIMIT_USER_FRAMES',
    integer(1).default(50_000),
    'frames a second of all sockets of one user, likewise',
  ),
  limitUserBytes: setting(
    'LIMIT_USER_BYTES',
    integer(1024).default(16 * MB),
    'bytes a second of all sockets of one user, likewise',
  ),
  limitDocumentBytes: setting(
    'LIMIT_DOCUMENT_BYTES',
    integer(1024).default(50 * MB),
    'stored size of one document; one of 50 MB takes seconds to open and some hundred MB of memory',
  ),
  limitPendingBytes: setting(
    'LIMIT_PENDING_BYTES',
    integer(1024).default(MB),
    'edits of one document that are kept aside because edits before them are missing; honest clients bring those within a second',
  ),
  limitWaitingBytes: setting(
    'LIMIT_WAITING_BYTES',
    integer(1024).default(16 * MB),
    'frames of one socket that may wait while its documents are opening; two of the largest',
  ),
  limitPresenceIds: setting(
    'LIMIT_PRESENCE_IDS',
    integer(1).default(8),
    'presence ids that one connection may own; a client needs one',
  ),
  limitPresenceBytes: setting(
    'LIMIT_PRESENCE_BYTES',
    integer(64).default(8 * 1024),
    'one presence state as JSON; a cursor with name and colour has 200, and each change is sent to everybody',
  ),
  limitDatabaseConnections: setting(
    'LIMIT_DATABASE_CONNECTIONS',
    integer(1).default(10),
    'Postgres connections for loading and folding; commits have one more of their own',
  ),
} satisfies Record<string, Setting>;

/** Every setting with its value; the keys are the options of `createServer`. */
export type Settings = { readonly [K in keyof typeof table]: z.output<(typeof table)[K]['schema']> };

/** What may be passed to `createServer`: any setting, the rest takes its default. */
export type SettingOptions = { readonly [K in keyof Settings]?: Settings[K] | undefined };

/** The name under which each setting is read from the environment. */
export function settingsFromEnvironment(environment: Record<string, string | undefined>): SettingOptions {
  const entries = Object.entries(table).map(([key, { env }]) => [key, environment[env] || undefined]);
  return Object.fromEntries(entries) as SettingOptions;
}

/**
 * Checks options and fills in defaults.
 * @throws {@link IndelibleError} `bad_settings`, naming every wrong setting and what it takes
 */
export function resolveSettings(options: SettingOptions): Settings {
  const problems = Object.keys(options)
    .filter((key) => !Object.hasOwn(table, key))
    .map((key) => `there is no setting '${key}'`);
  const values = Object.entries(table).map(([key, { env, schema, help }]) => {
    const result = (schema as z.ZodType).safeParse(options[key as keyof Settings]);
    if (!result.success) {
      problems.push(
        `${env} (${key}): ${result.error.issues.map((issue) => issue.message).join(', ')} — ${help}`,
      );
    }
    return [key, result.data];
  });
  if (problems.length > 0) throw new IndelibleError('bad_settings', problems.join('; '));
  const settings = Object.fromEntries(values) as Settings;
  refuseWrongCombinations(settings);
  return settings;
}

function refuseWrongCombinations(settings: Settings): void {
  const { drainMs, shutdownMs, jwtSecret, jwksUrl, authMode, jwtIssuer, jwtAudience, limitConnections } =
    settings;
  refuseIf(
    settings.devTokens && jwtSecret === undefined,
    'DEV_TOKENS (devTokens) gives tokens away, which are signed with JWT_SECRET (jwtSecret): set that too',
  );
  refuseIf(
    drainMs > shutdownMs,
    `closing sockets takes longer than the process may: DRAIN_MS (drainMs) ${drainMs} must not exceed ` +
      `SHUTDOWN_MS (shutdownMs) ${shutdownMs}`,
  );
  refuseIf(
    jwtSecret !== undefined && jwksUrl !== undefined,
    'tokens have one kind of key: JWT_SECRET (jwtSecret) or JWKS_URL (jwksUrl), not both',
  );
  refuseIf(
    hasKey(settings) && authMode === 'none',
    "AUTH=none (authMode: 'none') says that nobody needs a token, and there is a key for tokens: leave one out",
  );
  refuseIf(
    !hasKey(settings) && (jwtIssuer !== undefined || jwtAudience !== undefined),
    'JWT_ISSUER (jwtIssuer) and JWT_AUDIENCE (jwtAudience) say nothing without JWT_SECRET or JWKS_URL',
  );
  refuseWrongRedis(settings);
  if (limitConnections === undefined) return;
  const possible = possibleConnections();
  refuseIf(
    limitConnections > possible,
    `LIMIT_CONNECTIONS (limitConnections) ${limitConnections}: the limit of open files allows ${possible} sockets; raise ` +
      `that first (ulimit -n, LimitNOFILE)`,
  );
}

function refuseWrongRedis({ workers, redisUrl, redisCluster, redisSentinel, databaseUrl }: Settings): void {
  refuseIf(
    workers > 1 && (databaseUrl === undefined || redisUrl === undefined),
    `WORKERS (workers) ${workers}: several processes need DATABASE_URL (databaseUrl) and REDIS_URL (redisUrl)`,
  );
  const isOne = !redisCluster && redisSentinel === undefined;
  refuseIf(
    redisUrl !== undefined && databaseUrl === undefined,
    'REDIS_URL (redisUrl) is for several instances on one Postgres: set DATABASE_URL (databaseUrl) too',
  );
  refuseIf(
    redisUrl === undefined && !isOne,
    'REDIS_CLUSTER (redisCluster) and REDIS_SENTINEL (redisSentinel) say nothing without REDIS_URL',
  );
  refuseIf(
    redisCluster && redisSentinel !== undefined,
    'Redis is a cluster or has Sentinels: REDIS_CLUSTER (redisCluster) or REDIS_SENTINEL (redisSentinel), not both',
  );
  refuseIf(
    isOne && (redisUrl?.length ?? 1) !== 1,
    'REDIS_URL (redisUrl) names one Redis, unless REDIS_CLUSTER or REDIS_SENTINEL says that it is more',
  );
}

/** Whether tokens are asked for. */
export function hasKey({ jwtSecret, jwksUrl }: Settings): boolean {
  return jwtSecret !== undefined || jwksUrl !== undefined;
}

function refuseIf(isWrong: boolean, what: string): void {
  if (isWrong) throw new IndelibleError('bad_settings', what);
}

/** The settings as rows for help and README: variable, option of `createServer`, default, help. */
export function describeSettings(): { env: string; option: string; fallback: string; help: string }[] {
  return Object.entries(table).map(([option, { env, schema, help }]) => {
    const fallback = schema.parse(undefined);
    return { env, option, fallback: fallback?.toString() ?? '', help };
  });
}

/** Files that are open beside sockets: database, log, page, and some to spare. */
const OTHER_FILES = 200;

/** Sockets that the limit of open files of this process leaves room for. */
export function possibleConnections(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft: unknown } } };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === 'number' ? Math.max(1, soft - OTHER_FILES) : Number.MAX_SAFE_INTEGER;
}
