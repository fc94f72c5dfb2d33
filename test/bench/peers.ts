import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inject, vi } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { atTestEnd } from '../helpers/cleanup.ts';
import type { Dialect } from '../helpers/frames.ts';
import { COLLECTING } from '../helpers/memory.ts';
import { freePort } from '../helpers/ports.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startNode } from '../helpers/processes.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';

/** A folder, when servers are to write CPU profiles: for a run of its own, since that takes CPU, too. */
const PROFILES = process.env['PROFILES'];
const PROFILING = PROFILES === undefined ? '' : ` --cpu-prof --cpu-prof-dir=${PROFILES}`;

const START_MS = 30_000;
/** Until a server has stored what it has not, and has ended. */
const END_MS = 60_000;

/** LevelDB does not say when it has written what it was given. */
const QUIET_MS = 1_000;

interface Environment extends Record<string, string> {
  PORT: string;
  DATABASE_URL: string;
  REDIS_URL: string;
  /** How many processes. */
  WORKERS: string;
  /** For a server that keeps its documents in one. */
  FOLDER: string;
  NODE_OPTIONS: string;
}

interface Peer {
  /** How the load speaks with it. */
  dialect: Dialect;
  /** Whether it answers each edit. */
  hasAcks: boolean;
  /** Whether it keeps documents in Postgres. */
  isOnPostgres: boolean;
  start: (environment: Environment) => Promise<ServerProcess>;
}

/** What is compared; ours is the first. */
export const PEERS = {
  ours: { dialect: 'hocuspocus', hasAcks: true, isOnPostgres: true, start: startIndelible },
  stock: { dialect: 'hocuspocus', hasAcks: true, isOnPostgres: true, start: startStock },
  'y-websocket': { dialect: 'y-websocket', hasAcks: false, isOnPostgres: false, start: startYWebsocket },
  floor: { dialect: 'y-websocket', hasAcks: false, isOnPostgres: false, start: startRelay },
} as const satisfies Record<string, Peer>;
export type PeerName = keyof typeof PEERS;
export const PEER_NAMES = Object.keys(PEERS) as PeerName[];

/** Those of which there can be several instances. */
export const CLUSTERED = ['ours', 'stock'] as const satisfies PeerName[];

interface GroupOptions {
  /** How many there are; one has no Redis. */
  instances?: number;
  /** Processes of each. */
  workers?: number;
}

/** Instances of one server, on one database of their own and the Redis of the run. */
export class Group {
  readonly peer: PeerName;
  readonly databaseUrl: string;
  readonly #environments: readonly Environment[];
  instances: ServerProcess[] = [];

  private constructor(peer: PeerName, databaseUrl: string, environments: readonly Environment[]) {
    this.peer = peer;
    this.databaseUrl = databaseUrl;
    this.#environments = environments;
  }

  static async start(peer: PeerName, { instances = 1, workers = 1 }: GroupOptions = {}): Promise<Group> {
    const { url: databaseUrl } = await createDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'indelible-bench-'));
    atTestEnd(() => rm(folder, { recursive: true, force: true }));
    const environments: Environment[] = [];
    while (environments.length < instances)
      environments.push({
        PORT: `${await freePort()}`,
        DATABASE_URL: databaseUrl,
        REDIS_URL: instances * workers === 1 ? '' : inject('redisUrl'),
        WORKERS: `${workers}`,
        FOLDER: folder,
        NODE_OPTIONS: COLLECTING.NODE_OPTIONS + PROFILING,
      });
    const group = new Group(peer, databaseUrl, environments);
    await group.#start();
    return group;
  }

  get urls(): string[] {
    return this.instances.map(({ url }) => url);
  }

  /** @param meanwhile - is done when all have ended */
  async restart(signal: NodeJS.Signals, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await this.end(signal);
    await meanwhile();
    await this.#start();
  }

  /** Ends all; with SIGTERM when they have stored everything. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.peer === 'y-websocket') await quiet(this.#environments[0]?.FOLDER ?? '');
    // One that does not end in time is busy with what nobody waits for any more.
    const end = (instance: ServerProcess) => instance.kill(signal, END_MS).catch(() => instance.kill());
    await Promise.all(this.instances.map(end));
  }

  async #start(): Promise<void> {
    this.instances = [];
    // One after the other: the first makes the tables.
    for (const environment of this.#environments)
      this.instances.push(await PEERS[this.peer].start(environment));
  }
}

/** As `npm start` runs it, with its options of V8. */
async function startIndelible({ DATABASE_URL, ...environment }: Environment): Promise<ServerProcess> {
  const options = manifest.scripts.start.match(/--\S+/g) ?? [];
  const NODE_OPTIONS = [environment.NODE_OPTIONS, ...options].join(' ');
  const server = await spawnServer({ databaseUrl: DATABASE_URL }, { ...environment, NODE_OPTIONS });
  await readinessBecomes(server.url, { code: 200, status: 'ready' });
  return server;
}

function startStock(environment: Environment): Promise<ServerProcess> {
  return startProgram('test/faults/stock-server.ts', /^ready/, environment);
}

/** As its documentation has it: the program of the package, with a folder for LevelDB. */
function startYWebsocket({ FOLDER, ...environment }: Environment): Promise<ServerProcess> {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('y-websocket-server/package.json'));
  const settings = { ...environment, HOST: '127.0.0.1', YPERSISTENCE: FOLDER };
  return startProgram(join(folder, 'bin/server.cjs'), /^running at/, settings);
}

function startRelay(environment: Environment): Promise<ServerProcess> {
  return startProgram('test/bench/relay.ts', /^ready/, environment);
}

async function startProgram(
  path: string,
  ready: RegExp,
  env: Record<string, string>,
): Promise<ServerProcess> {
  const server = await startNode([path], { env });
  await server.line(ready, START_MS);
  return { ...server, url: `http://127.0.0.1:${env['PORT'] ?? ''}` };
}

async function quiet(folder: string): Promise<void> {
  await vi.waitFor(
    () => {
      const changed = readdirSync(folder).map((file) => statSync(join(folder, file)).mtimeMs);
      if (Date.now() - Math.max(...changed) < QUIET_MS) throw new Error('LevelDB is writing');
    },
    { timeout: END_MS, interval: 100 },
  );
}
