import { inject } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { type RunningProcess, startNode } from '../helpers/processes.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { spawnServer } from '../helpers/server.ts';

/** A folder, when servers are to write CPU profiles: for a run of its own, since that takes CPU, too. */
export const PROFILES = process.env['PROFILES'];
const PROFILING: Record<string, string> =
  PROFILES === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${PROFILES}` };

/** A server process. */
export interface Instance extends RunningProcess {
  url: string;
}

/** Instances of one server, on one database of their own and the Redis of the run; a single one has no Redis. */
export interface Group {
  instances: Instance[];
  databaseUrl: string;
}

/** What is compared; ours is the first. */
const PEERS = {
  ours: startIndelible,
  stock: startStock,
} as const satisfies Record<string, (environment: Environment) => Promise<Instance>>;
export type PeerName = keyof typeof PEERS;
export const PEER_NAMES = Object.keys(PEERS) as PeerName[];

type Environment = Record<'DATABASE_URL' | 'REDIS_URL', string>;

export async function startGroup(peer: PeerName, count: number): Promise<Group> {
  const { url: databaseUrl } = await createDatabase();
  const REDIS_URL = count === 1 ? '' : inject('redisUrl');
  const instances: Instance[] = [];
  // One after the other: the first makes the tables.
  while (instances.length < count)
    instances.push(await PEERS[peer]({ DATABASE_URL: databaseUrl, REDIS_URL }));
  return { instances, databaseUrl };
}

/** As people run it: `npm start` runs this, too. */
async function startIndelible({ DATABASE_URL, ...redis }: Environment): Promise<Instance> {
  const server = await spawnServer({ databaseUrl: DATABASE_URL }, { ...redis, ...PROFILING });
  await readinessBecomes(server.url, { code: 200, status: 'ready' });
  return server;
}

async function startStock(environment: Environment): Promise<Instance> {
  const PORT = `${await freePort()}`;
  const env = { PORT, ...environment, ...PROFILING };
  const server = await startNode(['test/faults/stock-server.ts'], { env });
  await server.line(/ready/, 30_000);
  return { ...server, url: `http://127.0.0.1:${PORT}` };
}
