import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type { Log } from '../log.ts';
import { IndelibleError } from '../errors.ts';
import type { Database } from './database.ts';
import type { DatabaseConnection } from './database-connection.ts';

/** Version of this server, compared with the oldest that the schema allows. Kept equal to package.json by a test. */
export const SERVER_VERSION = '0.1.0';

/** Key of the advisory lock under which instances that start together migrate one after the other ("indelible"). */
const MIGRATION_LOCK = 0x1d_e1_1b_1e;
const LOCK_RETRY_MS = 100;

/**
 * Brings the schema up to date. Instances that start together wait for one another.
 * @returns the names of the migrations that were applied
 * @throws {@link IndelibleError} `schema_too_new` when the schema asks for a newer server; nothing is changed then
 */
export function migrate({ queries }: Database, log: Log): Promise<string[]> {
  // Closing the connection, if something throws, gives the lock back.
  return queries.use(async (connection) => {
    await lockSchema(connection);
    if (await hasSchema(connection)) await refuseNewerSchema(connection);
    const applied = await runner({
      dbClient: connection,
      dir: migrationsDirectory(),
      direction: 'up',
      migrationsTable: 'migrations',
      migrationsSchema: 'indelible',
      createMigrationsSchema: true,
      noLock: true,
      singleTransaction: true,
      logger: { debug: () => {}, info: () => {}, warn: log.warn.bind(log), error: log.error.bind(log) },
    });
    await connection.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    return applied.map(({ name }) => name);
  });
}

/** Asks again and again, since one waiting statement would be taken for silence behind a long migration. */
async function lockSchema(connection: DatabaseConnection): Promise<void> {
  for (;;) {
    const { rows } = await connection.query<{ granted: boolean }>(
      'select pg_try_advisory_lock($1) as granted',
      [MIGRATION_LOCK],
    );
    if (rows[0]?.granted === true) return;
    await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
  }
}

/**
 * For commands that work on what is stored, and bring no schema about.
 * @throws when there is no schema; {@link IndelibleError} `schema_too_new` when it asks for a newer server
 */
export function requireSchema({ queries }: Database): Promise<void> {
  return queries.use(async (connection) => {
    if (await hasSchema(connection)) return refuseNewerSchema(connection);
    throw new Error('the database holds no documents: are DATABASE_URL and DATA_DIR those of the server?');
  });
}

async function hasSchema(connection: DatabaseConnection): Promise<boolean> {
  const { rows } = await connection.query<{ there: boolean }>(
    `select to_regclass('indelible.compatibility') is not null as there`,
  );
  return rows[0]?.there === true;
}

async function refuseNewerSchema(connection: DatabaseConnection): Promise<void> {
  const found = await connection.query<{ oldest_server: string }>(
    'select oldest_server from indelible.compatibility',
  );
  const oldest = found.rows[0]?.oldest_server ?? SERVER_VERSION;
  if (compareVersions(SERVER_VERSION, oldest) < 0) {
    throw new IndelibleError('schema_too_new', `it needs ${oldest}, this is ${SERVER_VERSION}`);
  }
}

/** Negative when `a` is older than `b`. Versions are `major.minor.patch`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let part = 0; part < 3; part += 1) {
    const difference = (left?.[part] ?? 0) - (right?.[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The SQL files lie beside `server/` in the repository, and beside `dist/` in the npm package. */
function migrationsDirectory(): string {
  const candidates = ['../../migrations', '../../../migrations'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no migrations directory at ${candidates.join(' or ')}`);
  return found;
}
