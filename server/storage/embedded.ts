import { mkdir, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { IndelibleError } from '../errors.ts';
import { EmbeddedThread } from './embedded-thread.ts';

/** Longest path of a Unix socket that every platform takes (`sun_path` has 104 bytes on macOS, 108 on Linux). */
const SOCKET_PATH_BYTES = 100;

/** The embedded database: Postgres in WebAssembly (PGlite), in a thread of its own, behind a Unix socket. */
export interface Embedded {
  /** What `pg` needs to connect. One connection at a time: PGlite has one session. */
  readonly connection: { host: string; port: number; user: string; database: string };
  close(): Promise<void>;
}

/**
 * Opens the database in a directory, which is created when it is not there.
 * @param onRestart - told when the database ended by itself and is started again
 * @throws {@link IndelibleError} `data_dir_locked` when another process has it open
 */
export async function startEmbedded(
  directory: string,
  onRestart: (error: unknown) => void,
): Promise<Embedded> {
  // `pg` takes a host for a directory only when it is an absolute path.
  const dataDir = resolve(directory);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const unlock = await lock(dataDir);
  try {
    const socket = await socketPath(dataDir);
    const thread = new EmbeddedThread(join(dataDir, 'pglite'), socket, onRestart);
    await thread.start();
    return {
      connection: { ...addressOf(socket), user: 'postgres', database: 'postgres' },
      close: async () => {
        await thread.stop();
        if (!socket.startsWith(dataDir)) await rm(dirname(socket), { recursive: true, force: true });
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/**
 * A lock of the operating system on a file: the kernel drops it when its process ends, however it ends, so there is
 * no stale lock to recognise. (A file with a process id is wrong in containers, where every process has the same one;
 * a lock kept alive by a timer is lost by a process that was stopped for a while and then goes on.)
 */
async function lock(dataDir: string): Promise<() => Promise<void>> {
  const file = await open(join(dataDir, 'lock'), 'a+');
  if (tryLock(file.fd)) return () => file.close();
  await file.close();
  throw new IndelibleError('data_dir_locked', dataDir);
}

const PORT = 5432;

/** `pg` connects to `<host>/.s.PGSQL.<port>` when the host is a directory. */
async function socketPath(dataDir: string): Promise<string> {
  const name = `.s.PGSQL.${PORT}`;
  const inside = join(dataDir, name);
  if (Buffer.byteLength(inside) > SOCKET_PATH_BYTES) {
    const directory = join(tmpdir(), `indelible-${process.pid}-${Date.now().toString(36)}`);
    await mkdir(directory, { mode: 0o700 });
    return join(directory, name);
  }
  // Left behind by a process that was killed; the lock says that nobody listens on it.
  await rm(inside, { force: true });
  return inside;
}

function addressOf(socket: string): { host: string; port: number } {
  return { host: dirname(socket), port: PORT };
}
