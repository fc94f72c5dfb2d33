import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdir, open, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../helpers/ports.ts';
import { enterProcess } from './run-directory.ts';

const run = promisify(execFile);

const START_MS = 10_000;
const POLL_MS = 10;
const INSTALL_MS = 110_000;

/**
 * Debian's package redis-server is a service (it would start on 6379 and at every boot) around a link to this program
 * of the package redis-tools, which becomes the server when it is called by that name.
 */
const DEBIAN_PROGRAM = '/usr/bin/redis-check-rdb';

const HELP =
  'The tests need a Redis: install redis-server so that it is on the PATH ' +
  '(Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis), or set TEST_REDIS_URL.';

/** A program that is Redis's server when it is called so (`argv0`, or a link of that name); installed if need be. */
export async function findRedis(): Promise<string> {
  return (await onPath('redis-server')) ?? installOnDebian();
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

async function installOnDebian(): Promise<string> {
  const aptGet = await onPath('apt-get');
  if (process.getuid?.() !== 0 || aptGet === undefined) throw new Error(HELP);
  if (!(await isExecutable(DEBIAN_PROGRAM))) {
    const options = {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      timeout: INSTALL_MS,
    };
    // Another run may be installing it at this moment.
    const patience = ['-o', 'DPkg::Lock::Timeout=100', '-qq'];
    try {
      await run(aptGet, [...patience, 'update'], options);
      await run(aptGet, [...patience, 'install', '-y', '--no-install-recommends', 'redis-tools'], options);
    } catch (error) {
      throw new Error(`${HELP} (Installing redis-tools failed.)`, { cause: error });
    }
  }
  if (!(await isExecutable(DEBIAN_PROGRAM))) throw new Error(HELP);
  return DEBIAN_PROGRAM;
}

async function onPath(program: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, program);
    if (directory !== '' && (await isExecutable(path))) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
