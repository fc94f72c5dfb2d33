import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis } from '../setup/redis.ts';
import { atTestEnd } from './cleanup.ts';
import { freePort } from './ports.ts';
import { type RunningProcess, startProgram } from './processes.ts';

/** A Redis of a test's own, which it may stop and freeze. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Where nodes of a cluster talk to each other. */
  readonly busPort: number;
  /** Ends at once, and forgets everything. */
  kill(): Promise<void>;
  /** Starts again where it was. */
  start(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

/**
 * @param args - beside those of a server on loopback that keeps nothing
 * @param sentinel - path of a Sentinel's configuration, when it is to be one
 */
export async function startRedisServer(args: string[] = [], sentinel?: string): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'indelible-redis-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  // The program is what it is called.
  const program = join(directory, 'redis-server');
  await symlink(await findRedis(), program);
  const [port, busPort] = [await freePort(), await freePort()];
  const where = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', directory];
  const keepsNothing = ['--save', '', '--appendonly', 'no', '--cluster-port', `${busPort}`];
  const settings =
    sentinel === undefined
      ? [...where, ...keepsNothing, ...args]
      : [sentinel, '--sentinel', ...where, ...args];
  let running: RunningProcess;
  const start = async () => {
    running = await startProgram(program, settings);
    await running.line(sentinel === undefined ? /Ready to accept connections/ : /Sentinel ID is/);
  };
  await start();
  return {
    port,
    busPort,
    url: `redis://127.0.0.1:${port}`,
    kill: async () => void (await running.kill()),
    start,
    freeze: () => running.signal('SIGSTOP'),
    thaw: () => running.signal('SIGCONT'),
  };
}
