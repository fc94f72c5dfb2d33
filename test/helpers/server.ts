import { type Server, type ServerOptions, createServer } from '../../server/index.ts';
import { atTestEnd } from './cleanup.ts';
import { freePort } from './ports.ts';
import { type RunningProcess, startNode } from './processes.ts';
import { type Storage, createStorage, environmentOf } from './storage.ts';

/** A line of the server's log. */
interface LogLine {
  level: number;
  msg: string;
  [key: string]: unknown;
}

export interface TestServer {
  server: Server;
  url: string;
  /** What it logged so far. */
  log: LogLine[];
}

/** A server in this process, on Postgres unless the options say otherwise; closed at the end of the test. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const log: LogLine[] = [];
  const storage =
    options.databaseUrl === undefined && options.dataDir === undefined ? await createStorage('postgres') : {};
  const server = await createServer({
    port: await freePort(),
    drainMs: 0,
    logTo: { write: (line: string) => void log.push(JSON.parse(line) as LogLine) },
    ...storage,
    ...options,
  });
  atTestEnd(() => server.close());
  const { url } = await server.listen();
  return { server, url, log };
}

export interface ServerProcess extends RunningProcess {
  url: string;
}

/**
 * A server in a process of its own, listening; killed at the end of the test.
 * @param cwd - where its source is, if it is another one than this
 */
export async function spawnServer(
  storage: Storage,
  env: Record<string, string> = {},
  cwd?: string,
): Promise<ServerProcess> {
  const port = env['PORT'] ?? String(await freePort());
  const child = await startNode(['server/main.ts', 'serve'], {
    ...(cwd !== undefined && { cwd }),
    env: { ...environmentOf(storage), PORT: port, DRAIN_MS: '0', LOG_LEVEL: 'warn', ...env },
  });
  await child.line(/Indelible is ready/, 30_000);
  return { ...child, url: `http://127.0.0.1:${port}` };
}
