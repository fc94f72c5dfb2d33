import { mkdir, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { tryLock } from 'fs-native-extensions';
import { IndelibleError } from '../errors.ts';

/** Longest path of a Unix socket that every platform takes (`sun_path` has 104 bytes on macOS, 108 on Linux). */
const SOCKET_PATH_BYTES = 100;

/** The embedded database: Postgres in WebAssembly (PGlite), in a thread of its own, behind a Unix socket. */
export interface Embedded {
  /** What `pg` needs to connect. One connection at a time: PGlite has one session. */
  readonly connection: { host: string; port: number; user: string; database: string };
  close(): Promise<void>;
}

/**
 * Opens the database in `dataDir`, which is created when it is not there.
 * @throws {@link IndelibleError} `data_dir_locked` when another process has it open
 */
export async function startEmbedded(dataDir: string): Promise<Embedded> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const unlock = await lock(dataDir);
  try {
    const socket = await socketPath(dataDir);
    const worker = await startWorker(join(dataDir, 'pglite'), socket);
    return {
      connection: { ...addressOf(socket), user: 'postgres', database: 'postgres' },
      close: async () => {
        await stopWorker(worker);
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
  return { host: join(socket, '..'), port: PORT };
}

function startWorker(directory: string, socket: string): Promise<Worker> {
  const worker = new Worker(new URL(import.meta.url.replace(/embedded(\.[jt]s)$/, 'embedded-worker$1')), {
    workerData: { directory, socket },
  });
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve(worker));
    worker.once('error', reject);
    worker.once('exit', (code) =>
      reject(new Error(`the embedded database ended while starting (exit ${code})`)),
    );
  });
}

async function stopWorker(worker: Worker): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    worker.once('message', () => resolve());
    worker.once('exit', () => resolve());
  });
  worker.postMessage('close');
  await closed;
  await worker.terminate();
}
