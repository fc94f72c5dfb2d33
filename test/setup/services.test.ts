import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Client } from 'pg';
import { expect, inject, test } from 'vitest';
import { atTestEnd } from '../helpers/cleanup.ts';
import { canMount } from '../helpers/mounts.ts';
import { createDatabase, queryOnce, startPostgres } from '../helpers/postgres.ts';
import { bornAt } from '../helpers/process-table.ts';
import { startNode } from '../helpers/processes.ts';
import { sweepDeadRuns } from './run-directory.ts';

const CONNECT_MS = 5_000;
const FROZEN_MS = 300;

async function query(url: string, statement: string, connectionTimeoutMillis = CONNECT_MS): Promise<unknown> {
  const [row] = await queryOnce({ connectionString: url, connectionTimeoutMillis }, statement);
  return row?.['value'];
}

test('[T1] the suite has a real Postgres, and every database made in it is empty and its own', async () => {
  const [one, two] = await Promise.all([createDatabase(), createDatabase()]);
  await query(one.url, 'CREATE TABLE t AS SELECT 1 AS value');
  expect(await query(one.url, 'SELECT value FROM t')).toBe(1);
  await expect(query(two.url, 'SELECT value FROM t')).rejects.toThrow(/does not exist/);
  await one.drop();
  await expect(query(one.url, 'SELECT 1')).rejects.toThrow(/does not exist/);
});

test("[T2] a test's own cluster keeps what was committed when it crashes, and stands still while frozen", async () => {
  const cluster = await startPostgres({ settings: { autovacuum: 'off' } });
  const { url } = cluster;
  expect(await query(url, "SELECT current_setting('fsync') || current_setting('autovacuum') AS value")).toBe(
    'onoff',
  );
  await query(url, 'CREATE TABLE t AS SELECT 42 AS value');
  await cluster.stop('immediate');
  await expect(query(url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
  await cluster.start();
  expect(await query(url, 'SELECT value FROM t')).toBe(42);

  const client = new Client({ connectionString: url });
  await client.connect();
  cluster.freeze();
  let answered = false;
  const answer = client.query('SELECT 1').then(() => (answered = true));
  await expect(query(url, 'SELECT 1', FROZEN_MS)).rejects.toThrow(/timeout/);
  expect(answered).toBe(false);
  cluster.thaw();
  await answer;
  await client.end();
  await cluster.stop('fast');
});

test('[T3] the suite has a real Redis', async () => {
  const url = new URL(inject('redisUrl'));
  const socket = connect(Number(url.port || 6379), url.hostname).setEncoding('utf8');
  socket.write('PING\r\n');
  expect(await once(socket, 'data')).toEqual(['+PONG\r\n']);
  socket.destroy();
});

/** A run that starts one service, does some work, and is then killed; with or without a keeper. */
async function killedRun(keeper: boolean, work = ''): Promise<{ directory: string; service: number }> {
  // The service belongs to this test and not to the killed run, or nobody would collect it when it has exited.
  const service = spawn('sleep', ['600']);
  atTestEnd(() => service.kill('SIGKILL'));
  const run = await startNode([
    '--input-type=module',
    '--eval',
    `import { createRunDirectory, enterProcess } from '${new URL('run-directory.ts', import.meta.url).href}';
     import { startKeeper } from '${new URL('keeper.ts', import.meta.url).href}';
     const directory = await createRunDirectory();
     ${keeper ? 'startKeeper(directory);' : ''}
     await enterProcess(directory, ${service.pid}, 'SIGTERM');
     ${work}
     console.log('directory ' + directory);
     setInterval(() => {}, 1_000);`,
  ]);
  const [, directory = ''] = await run.line(/^directory (.+)$/);
  expect(existsSync(directory)).toBe(true);
  await run.kill('SIGKILL');
  return { directory, service: Number(service.pid) };
}

test('[T4] a run that is killed leaves nothing running and no files', async () => {
  const { directory, service } = await killedRun(true);
  await expect.poll(() => existsSync(directory), { timeout: 10_000 }).toBe(false);
  expect(bornAt(service)).toBeUndefined();
});

test('[T5] what a run left behind together with its keeper is cleared away by the next one', async () => {
  const { directory, service } = await killedRun(false);
  expect(bornAt(service)).toBeDefined();
  await sweepDeadRuns();
  expect(existsSync(directory)).toBe(false);
  expect(bornAt(service)).toBeUndefined();
  expect(existsSync(inject('runDirectory'))).toBe(true);
});

test.skipIf(!(await canMount())).each([true, false])(
  '[T40] a file system that a killed run has mounted is unmounted, with a keeper (%s) or by the next run',
  async (keeper) => {
    const { directory } = await killedRun(
      keeper,
      `const { execFileSync } = await import('node:child_process');
       execFileSync('mkdir', [directory + '/disk']);
       execFileSync('mount', ['-t', 'tmpfs', 'indelible-test', directory + '/disk']);
       execFileSync('touch', [directory + '/disk/file']);`,
    );
    if (!keeper) await sweepDeadRuns();
    await expect.poll(() => existsSync(directory), { timeout: 10_000 }).toBe(false);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(directory);
  },
);
