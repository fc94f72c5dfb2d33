import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../helpers/ports.ts';
import { type Program, findProgram } from './debian.ts';
import { enterProcess } from './run-directory.ts';

const START_MS = 10_000;
const POLL_MS = 10;

/**
 * Debian's package redis-server is a service around a link to this program of the package redis-tools, which becomes the
 * server when it is called by that name.
 */
const DEBIAN_PROGRAM = '/usr/bin/redis-check-rdb';

const REDIS: Program = {
  names: ['redis-server', DEBIAN_PROGRAM],
  package: 'redis-tools',
  help:
    'The tests need a Redis: install redis-server so that it is on the PATH ' +
    '(Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis), or set TEST_REDIS_URL.',
};

/** A program that is Redis's server when it is called so (`argv0`, or a link of that name); installed if need be. */
export function findRedis(): Promise<string> {
  return findProgram(REDIS);
}

/** Starts a Redis on loopback that keeps nothing, and resolves with its URL. */
export async function startRedis(runDirectory: string): Promise<string> {
  const program = await findRedis();
  const port = await freePort();
  const directory = join(runDirectory, 'redis');
  await mkdir(directory);
  const logPath = join(directory, 'log');
  const log = await open(logPath, 'a');
  const child = spawn(
    program,
    ['--bind', '127.0.0.1', '--port', `${port}`, '--save', '', '--appendonly', 'no'],
    {
      argv0: 'redis-server',
      cwd: directory,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    },
  );
  await once(child, 'spawn');
  await log.close();
  if (child.pid !== undefined) await enterProcess(runDirectory, child.pid, 'SIGTERM');
  child.unref();
  for (const started = Date.now(); Date.now() - started < START_MS && child.exitCode === null;) {
    if ((await readFile(logPath, 'utf8')).includes('Ready to accept connections'))
      return `redis://127.0.0.1:${port}`;
    await sleep(POLL_MS);
  }
  throw new Error(`Redis did not start:\n${await readFile(logPath, 'utf8')}`);
}
