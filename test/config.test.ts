import { describe, expect, test } from 'vitest';
import { describeSettings, resolveSettings, settingsFromEnvironment } from '../server/config.ts';
import { IndelibleError } from '../server/errors.ts';
import { SECRET } from './helpers/tokens.ts';

const ON_POSTGRES = { DATABASE_URL: 'postgres://db/notes' };

function problemWith(options: object): string {
  try {
    resolveSettings(options);
  } catch (error) {
    if (error instanceof IndelibleError && error.code === 'bad_settings') return error.message;
    throw error;
  }
  throw new Error(`accepted ${JSON.stringify(options)}`);
}

function problemInEnvironment(environment: Record<string, string>): string {
  return problemWith(settingsFromEnvironment(environment));
}

describe('settings', () => {
  test('[C1] every setting has a default or is optional, and the defaults go together', () => {
    expect(resolveSettings({})).toMatchObject({
      port: 1234,
      host: '127.0.0.1',
      dataDir: './data',
      databaseUrl: undefined,
      jwtSecret: undefined,
      logLevel: 'info',
    });
  });

  test('[C1] each has a name of its own in the environment, and is read from there', () => {
    const rows = describeSettings();
    expect(new Set(rows.map(({ env }) => env)).size).toBe(rows.length);
    for (const { env } of rows) expect(env).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    const environment = Object.fromEntries(rows.map(({ env, option }) => [env, `value of ${option}`]));
    expect(settingsFromEnvironment({ ...environment, PATH: '/bin' })).toEqual(
      Object.fromEntries(rows.map(({ option }) => [option, `value of ${option}`])),
    );
  });

  test('[C1] numbers come as text, and an empty variable is one that is not set', () => {
    const given = settingsFromEnvironment({ PORT: '8080', HOST: '', LIMIT_FRAME_BYTES: '4096' });
    expect(resolveSettings(given)).toMatchObject({ port: 8080, host: '127.0.0.1', limitFrameBytes: 4096 });
  });

  test.each([
    ['PORT', 'http'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '80.5'],
    ['PORT', ' '],
    ['DATABASE_URL', 'mysql://db/notes'],
    ['DATABASE_URL', 'notes'],
    ['JWT_SECRET', 'short'],
    ['JWKS_URL', 'login.example/keys'],
    ['JWKS_URL', 'file:///etc/keys'],
    ['AUTH', 'off'],
    ['REDIS_URL', 'r:6379'],
    ['REDIS_URL', 'redis://r, http://s'],
    ['REDIS_CLUSTER', 'yes'],
    ['ALLOWED_ORIGINS', 'https://app.example/path'],
    ['ALLOWED_ORIGINS', '*'],
    ['LIMIT_AUTH_MS', '0'],
    ['LOG_LEVEL', 'loud'],
    ['DRAIN_MS', '3 s'],
    ['SHUTDOWN_MS', '600001'],
    ['HEARTBEAT_MS', '0'],
    ['LIMIT_FRAME_BYTES', '8MB'],
    ['LIMIT_QUEUE_BYTES', '0'],
    ['LIMIT_SEND_BYTES', '1'],
    ['LIMIT_WAITING_BYTES', 'Infinity'],
    ['LIMIT_PRESENCE_IDS', '0'],
    ['LIMIT_DATABASE_CONNECTIONS', '0'],
  ])('[C1] %s=%j is refused, by both its names and with what it takes', (env, value) => {
    const row = describeSettings().find((setting) => setting.env === env);
    const problem = problemInEnvironment({ [env]: value });
    expect(problem).toContain(`${env} (${row?.option})`);
    expect(problem).toContain(row?.help);
  });

  test('[C1] all wrong settings are named at once', () => {
    const problem = problemInEnvironment({ PORT: 'http', LOG_LEVEL: 'loud', HOST: '0.0.0.0' });
    expect(problem).toContain('PORT');
    expect(problem).toContain('LOG_LEVEL');
    expect(problem).not.toContain('HOST');
  });

  test('[C1] a value that may be a secret is not repeated', () => {
    const problem = problemInEnvironment({ JWT_SECRET: 'hunter2', DATABASE_URL: 'x://u:hunter2@db/notes' });
    expect(problem).not.toContain('hunter2');
  });

  test('[C1] sockets must be closed before the process ends', () => {
    const problem = problemInEnvironment({ DRAIN_MS: '5001', SHUTDOWN_MS: '5000' });
    expect(problem).toContain('DRAIN_MS (drainMs) 5001');
    expect(problem).toContain('SHUTDOWN_MS (shutdownMs) 5000');
    const ends = settingsFromEnvironment({ DRAIN_MS: '5000', SHUTDOWN_MS: '5000' });
    expect(resolveSettings(ends)).toMatchObject({ drainMs: 5000, shutdownMs: 5000 });
  });

  test.each([
    [
      'two kinds of key',
      { JWT_SECRET: SECRET, JWKS_URL: 'https://login.example/keys' },
      /JWT_SECRET .* or JWKS_URL .*, not both/,
    ],
    ['Redis without Postgres', { REDIS_URL: 'redis://r' }, /REDIS_URL .*set DATABASE_URL/],
    ['kinds of Redis without one', { REDIS_CLUSTER: 'true' }, /REDIS_CLUSTER .*without REDIS_URL/],
    [
      'a cluster with Sentinels',
      { ...ON_POSTGRES, REDIS_URL: 'redis://r', REDIS_CLUSTER: 'true', REDIS_SENTINEL: 'm' },
      /not both/,
    ],
    ['two that are no cluster', { ...ON_POSTGRES, REDIS_URL: 'redis://r,redis://s' }, /names one Redis/],
    ['tokens without a key', { DEV_TOKENS: 'true' }, /DEV_TOKENS .*signed with JWT_SECRET/],
    ['a key that nobody needs', { JWT_SECRET: SECRET, AUTH: 'none' }, /AUTH=none .*leave one out/],
    ['keys that nobody needs', { JWKS_URL: 'https://login.example/keys', AUTH: 'none' }, /AUTH=none/],
    [
      'an issuer without a key',
      { JWT_ISSUER: 'https://login.example' },
      /JWT_ISSUER .*without JWT_SECRET or JWKS_URL/,
    ],
    ['an audience without a key', { JWT_AUDIENCE: 'docs' }, /JWT_AUDIENCE .*without JWT_SECRET or JWKS_URL/],
    [
      'more sockets than files',
      { LIMIT_CONNECTIONS: '100000000' },
      /LIMIT_CONNECTIONS .*limit of open files/,
    ],
  ])('[C1] %s is refused, with what to do', (_what, environment, problem) => {
    expect(problemInEnvironment(environment)).toMatch(problem);
  });

  test.each([
    [{ JWT_SECRET: SECRET, JWT_ISSUER: 'https://login.example', JWT_AUDIENCE: 'docs' }],
    [{ JWKS_URL: 'https://login.example/keys', JWT_ISSUER: 'https://login.example' }],
    [{ AUTH: 'none' }],
  ])('[C1] %j goes together', (environment) => {
    const settings = resolveSettings(settingsFromEnvironment(environment));
    expect(Object.values(settings)).toEqual(expect.arrayContaining(Object.values(environment)));
  });

  test('[C1] a misspelt option of a program is refused, or it would start the embedded database', () => {
    expect(problemWith({ databaseURL: 'postgres://db/notes' })).toContain("no setting 'databaseURL'");
    expect(problemWith({ toString: 1 })).toContain("no setting 'toString'");
  });
});
