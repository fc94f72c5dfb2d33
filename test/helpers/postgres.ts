import { randomBytes } from 'node:crypto';
import { Client, type ClientConfig, type QueryResultRow } from 'pg';
import { inject } from 'vitest';
import { type ClusterOptions, PostgresCluster } from '../setup/postgres-cluster.ts';
import { atTestEnd } from './cleanup.ts';

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A fresh, empty database in the run's cluster; dropped at the end of the test (of the file, in a `beforeAll`). */
export async function createDatabase(): Promise<TestDatabase> {
  const name = `indelible_${process.pid}_${randomBytes(6).toString('hex')}`;
  // template0 has no connections that could stand in the way of the copy.
  await administer(`CREATE DATABASE ${name} TEMPLATE template0`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  const drop = () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  atTestEnd(drop);
  return { url: url.href, drop };
}

type OwnCluster = Omit<ClusterOptions, 'installation' | 'runDirectory'>;

/** A cluster of the test's own, to kill, freeze and restart; disposed of at the end of the test. */
export async function startPostgres(options: OwnCluster = {}): Promise<PostgresCluster> {
  const cluster = createPostgres(options);
  await cluster.initialise();
  await cluster.start();
  return cluster;
}

/** As {@link startPostgres}, but neither initialised nor started. */
export function createPostgres(options: OwnCluster = {}): PostgresCluster {
  const installation = inject('postgresInstallation');
  if (installation === null)
    throw new Error('no Postgres to start on this machine: see test/setup/services.ts');
  const cluster = new PostgresCluster({ ...options, installation, runDirectory: inject('runDirectory') });
  atTestEnd(() => cluster.dispose());
  return cluster;
}

async function administer(statement: string): Promise<void> {
  await queryOnce(inject('postgresUrl'), statement);
}

/** Runs one statement on a connection of its own. @returns its rows */
export async function queryOnce<Row extends QueryResultRow>(
  connection: string | ClientConfig,
  statement: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new Client(connection);
  // When the database is killed meanwhile, the statement fails, too.
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(statement, values)).rows;
  } finally {
    await client.end();
  }
}
