import { z } from 'zod';
import { IndelibleError } from './errors.ts';

const MB = 1024 * 1024;

const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER) =>
  // A blank would become 0.
  z.preprocess(
    (value) => (typeof value === 'string' && value.trim() === '' ? value : Number(value)),
    z.int().min(minimum).max(maximum),
  );

function isOrigin(text: string): boolean {
  return URL.parse(text)?.origin === text;
}

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
  jwtSecret: setting(
    'JWT_SECRET',
    z.string().min(32).optional(),
    'HS256 key of at least 32 characters; with it every client needs a token',
  ),
  authMode: setting(
    'AUTH',
    z.literal('none').optional(),
    "'none' says that everybody may do everything is meant: without a key the server listens on loopback only, unless it is set",
  ),
  allowedOrigins: setting(
    'ALLOWED_ORIGINS',
    z.preprocess(
      (value) => (typeof value === 'string' ? value.split(',').map((origin) => origin.trim()) : value),
      z.array(z.string().refine(isOrigin, 'an origin looks like https://app.example.org')).optional(),
    ),
    'web pages that may connect, as https://app.example.org,https://…; else those of the same host, and without a key those on this machine',
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
  limitFrameBytes: setting(
    'LIMIT_FRAME_BYTES',
    integer(1024).default(8 * MB),
    'largest WebSocket frame that is read; one edit, or all offline edits of a client together',
  ),
  limitQueueBytes: setting(
    'LIMIT_QUEUE_BYTES',
    integer(1024).default(64 * MB),
    'updates that may wait for the database; when they reach it, sockets are not read until it is back',
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
    integer(64 * 1024).default(64 * MB),
    'bytes that may wait for one slow client before its socket is closed and syncs again',
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

function refuseWrongCombinations({ drainMs, shutdownMs }: Settings): void {
  if (drainMs <= shutdownMs) return;
  throw new IndelibleError(
    'bad_settings',
    `closing sockets takes longer than the process may: DRAIN_MS (drainMs) ${drainMs} must not exceed ` +
      `SHUTDOWN_MS (shutdownMs) ${shutdownMs}`,
  );
}

/** The settings as rows for help and README: variable, option of `createServer`, default, help. */
export function describeSettings(): { env: string; option: string; fallback: string; help: string }[] {
  return Object.entries(table).map(([option, { env, schema, help }]) => {
    const fallback = schema.parse(undefined);
    return { env, option, fallback: fallback?.toString() ?? '', help };
  });
}
