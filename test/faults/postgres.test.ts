import { setTimeout as aMoment } from 'node:timers/promises';
import { Client } from 'pg';
import { beforeAll, expect, test } from 'vitest';
import * as Y from 'yjs';
import { joinAs, updateOf } from '../helpers/editor.ts';
import { memoryOf } from '../helpers/memory.ts';
import { delivered, readMetrics, valueOf } from '../helpers/metrics.ts';
import { queryOnce, startPostgres } from '../helpers/postgres.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { rawYWebsocket } from '../helpers/raw-client.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { insertRows, openStorage } from '../helpers/storage.ts';
import type { PostgresCluster } from '../setup/postgres-cluster.ts';
import { type Figure, percentiles } from './figures.ts';
import { FIRST_ACK_MS, SEED, scaled } from './run.ts';
import { Stage } from './stage.ts';
import { hasNoMoreMemory } from './verdict.ts';

/** How long the database is away, at least; in the long run long enough for all timeouts of the server. */
const AWAY_MS = scaled(3_000, 30_000);
/** When it is stopped there are no timeouts. */
const STOPPED_MS = scaled(3_000, 5_000);
/** A limit that is reached in the short run while the database is away, when one more types so much. */
const QUEUE_BYTES = scaled(64_000, 16_000_000);
/**
 * In the long run it is not: sockets are not read then, everybody comes back after 30 s, and the first ack would wait for what their
 * old sockets had brought.
 */
const FLOOD_BYTES = scaled(16 * QUEUE_BYTES, 0);
const FLOOD_PIECE = 8_000;
/** What may have been read of each socket when the limit is reached. */
const READ_BYTES = 64 * 1024;
/** Enough for the pools of the server and all that the test needs. */
const MAX_CONNECTIONS = 30;
/** Connections of the server: one for commits, and the default of the others. */
const POOLS = 1 + 10;

let cluster: PostgresCluster;
beforeAll(async () => {
  cluster = await startPostgres({ settings: { max_connections: `${MAX_CONNECTIONS}` } });
});

interface Scene {
  stage: Stage;
  /** Between server and Postgres. */
  proxy: Proxy;
}

async function setScene(what: string, env: Record<string, string> = {}): Promise<Scene> {
  const proxy = await startProxy(cluster.url);
  const stage = await Stage.set({
    storage: { databaseUrl: cluster.url },
    serverStorage: { databaseUrl: proxy.url },
    documents: ['one', 'two', 'three'].map((name) => `${what}/${name}`),
    env: { LIMIT_QUEUE_BYTES: `${QUEUE_BYTES}`, ...env },
  });
  return { stage, proxy };
}

/** A session of the test's own. */
async function connect(): Promise<Client> {
  const client = new Client({ connectionString: cluster.url, application_name: 'test' });
  // It may be ended with everything else.
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function connectionsOf(client: Client, application: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    'select count(*)::int as count from pg_stat_activity where application_name = $1',
    [application],
  );
  return rows[0]?.count ?? 0;
}

/** Takes every connection that Postgres has. */
async function takeAllConnections(): Promise<Client[]> {
  const taken = [await connect()];
  for (;;) {
    try {
      taken.push(await connect());
    } catch (error) {
      expect(error).toMatchObject({ code: '53300' });
      if ((await connectionsOf(taken[0] as Client, 'indelible')) === 0) return taken;
    }
  }
}

/** Makes the database go away; gives what brings it back. */
type Strike = (scene: Scene) => Promise<() => Promise<unknown> | void>;

const AWAY: { what: string; times: number; ms: number; strike: Strike }[] = [
  {
    what: 'stopped at once and started again',
    times: scaled(2, 20),
    ms: STOPPED_MS,
    strike: async () => {
      await cluster.stop('immediate');
      return () => cluster.start();
    },
  },
  {
    what: 'frozen',
    times: scaled(1, 2),
    ms: AWAY_MS,
    strike: async () => {
      cluster.freeze();
      return () => cluster.thaw();
    },
  },
  {
    what: 'behind a black hole',
    times: scaled(1, 2),
    ms: AWAY_MS,
    strike: async ({ proxy }) => {
      proxy.blackHole();
      return () => proxy.heal();
    },
  },
  {
    what: 'locked',
    times: scaled(1, 2),
    ms: AWAY_MS,
    strike: async ({ stage }) => {
      const client = await connect();
      await client.query('begin; lock table indelible.updates in access exclusive mode');
      const { url } = stage.server;
      await Promise.all(
        Array.from({ length: 2 * POOLS }, (_, index) => rawYWebsocket(`${url}/cold%2F${index}`)),
      );
      return async () => {
        const waiting = await connectionsOf(client, 'indelible');
        await client.end();
        expect(waiting, 'connections while it was locked').toBeLessThanOrEqual(POOLS);
      };
    },
  },
  {
    what: 'out of connections',
    times: scaled(1, 2),
    ms: AWAY_MS,
    strike: async ({ proxy }) => {
      // The server, whose lines broke, comes too late.
      proxy.blackHole();
      proxy.reset();
      const taken = await takeAllConnections();
      proxy.heal();
      return () => Promise.all(taken.map((client) => client.end()));
    },
  },
];

/** Types more than may wait, into a document of its own. */
async function flood(url: string, name: string): Promise<{ start(): void; stop(): void }> {
  const editor = await joinAs('hocuspocus', url, name);
  // When this is acked, the document is open.
  editor.type('first');
  expect(await editor.ack()).toBe(true);
  const piece = 'x'.repeat(FLOOD_PIECE);
  return {
    start() {
      for (let bytes = 0; bytes < FLOOD_BYTES; bytes += FLOOD_PIECE)
        editor.doc.getMap('flood').set('piece', `${bytes}${piece}`);
    },
    stop: () => editor.client.socket.terminate(),
  };
}

let floods = 0;

/** The database goes away and comes back; tells how long the first ack took since. */
async function endure({ what, ms, strike }: (typeof AWAY)[number], scene: Scene): Promise<number> {
  const { stage } = scene;
  const { url } = stage.server;
  await stage.firstAck();
  const flooder = await flood(url, `${stage.documents[0]}/flood/${(floods += 1)}`);
  const before = await memoryOf(stage.server);
  const heal = await strike(scene);
  const over = aMoment(ms);
  flooder.start();
  try {
    await delivered(url);
    const acked = stage.ledger.ackedCount;
    await readinessBecomes(url, { code: 503, database: 'away' });
    await over;
    const queued = await valueOf(url, 'indelible_queue_bytes');
    expect(queued).toBeGreaterThanOrEqual(Math.min(QUEUE_BYTES, FLOOD_BYTES));
    expect(queued).toBeLessThan(QUEUE_BYTES + (stage.typists.length + 1) * READ_BYTES);
    await hasNoMoreMemory(before, stage.server);
    expect(await readiness(url)).toMatchObject({ code: 503, database: 'away' });
    expect(stage.ledger.ackedCount, `acks while it was ${what}`).toBe(acked);
  } finally {
    await heal();
    flooder.stop();
  }
  const firstAck = await stage.firstAck();
  await readinessBecomes(url, { code: 200 });
  return firstAck;
}

/** One server lives through all of them. In the long run each has its own, since documents grow and typing in them slows down. */
const SERVERS = scaled(1, AWAY.length);

test.for(Array.from({ length: SERVERS }, (_, index) => index))(
  `[F2] while Postgres is away nothing is acknowledged, /readyz says so and memory is bounded; then acks come soon (%i, SEED=${SEED})`,
  { timeout: scaled(120_000, 3_600_000) },
  async (server, { task }) => {
    const scene = await setScene(`away/${server}`);
    const figures: Figure[] = (task.meta.figures = []);
    await scene.stage.whileTyping(async () => {
      for (const fault of AWAY.filter((_, index) => index % SERVERS === server)) {
        const { what, times } = fault;
        const firstAcks: number[] = [];
        while (firstAcks.length < times) firstAcks.push(await endure(fault, scene));
        figures.push({ what: `first ack after Postgres was ${what}`, value: percentiles(firstAcks) });
        expect(Math.max(...firstAcks), what).toBeLessThan(FIRST_ACK_MS);
      }
    });
    await scene.stage.allIsWell();
  },
);

/** Some statements have fewer bytes, as have connecting and its answer. */
const STATEMENT_BYTES = 2_000;
const BREAKS_OF_EACH = scaled(3, 60);

/** What happens to the lines between server and Postgres, over and over. */
const BREAKS: Record<string, (scene: Scene) => Promise<unknown> | void> = {
  'cut in the middle of a statement': ({ stage, proxy }) =>
    proxy.cutAfter('up', Math.floor(stage.chance() * STATEMENT_BYTES)),
  'cut between a commit and its answer': ({ proxy }) => proxy.cutAfter('down', 0),
  'cut in the middle of whatever Postgres says': ({ stage, proxy }) =>
    proxy.cutAfter('down', Math.floor(stage.chance() * STATEMENT_BYTES)),
  'half closed by Postgres': ({ proxy }) => proxy.halfClose('down'),
  reset: ({ proxy }) => proxy.reset(),
  'ended by an administrator': () =>
    queryOnce(
      cluster.url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'indelible'",
    ),
};

test(
  `[F3] however the lines to Postgres break, at any byte and over and over, acks come soon again (SEED=${SEED})`,
  async ({ task }) => {
    const scene = await setScene('breaks');
    const { stage } = scene;
    const firstAcks: number[] = [];
    await stage.whileTyping(async () => {
      for (let round = 0; round < BREAKS_OF_EACH; round += 1) {
        for (const [what, strike] of Object.entries(BREAKS)) {
          await strike(scene);
          const ms = await stage.firstAck();
          expect(ms, what).toBeLessThan(FIRST_ACK_MS);
          firstAcks.push(ms);
        }
      }
      // Over and over, before anything is acked.
      for (let cut = 0; cut < BREAKS_OF_EACH; cut += 1)
        await BREAKS['cut in the middle of a statement']?.(scene);
      expect(await stage.firstAck()).toBeLessThan(FIRST_ACK_MS);
    });
    expect(await valueOf(stage.server.url, 'indelible_commit_failures_total')).toBeGreaterThan(
      BREAKS_OF_EACH,
    );
    task.meta.figures = [{ what: 'first ack after a line to Postgres broke', value: percentiles(firstAcks) }];
    await stage.allIsWell();
  },
  scaled(120_000, 1_800_000),
);

/** Of a database that is far away, by a thin line. */
const FAR = { delayMs: 100, bytesPerSecond: 100_000 };
const FAR_MS = scaled(4_000, 60_000);

test(
  `[F4] with a database that is far away acks keep coming, and nothing is taken for an outage (SEED=${SEED})`,
  async ({ task }) => {
    const { stage, proxy } = await setScene('far');
    const { url } = stage.server;
    await stage.whileTyping(async () => {
      await stage.firstAck();
      proxy.slow(FAR);
      const over = performance.now() + FAR_MS;
      while (performance.now() < over) {
        expect(await stage.firstAck()).toBeLessThan(FIRST_ACK_MS);
        expect(await readiness(url)).toMatchObject({ code: 200 });
      }
    });
    const metrics = await readMetrics(url);
    expect(metrics.value('indelible_commit_failures_total')).toBe(0);
    expect(metrics.value('indelible_socket_closes_total', { code: '1013' })).toBe(0);
    task.meta.figures = [{ what: 'ack with a far database', value: percentiles(stage.ledger.latencies()) }];
    proxy.heal();
    await stage.allIsWell();
  },
  scaled(60_000, 300_000),
);

/** Documents that are opened at once, with two connections to read them. */
const COLD = scaled(200, 1_000);
const EMPTY = Y.encodeStateVector(new Y.Doc());

test(
  `[F5] acks of warm documents do not wait for a crowd of cold ones that share two connections (SEED=${SEED})`,
  async ({ task }) => {
    const { stage, proxy } = await setScene('warm', { LIMIT_DATABASE_CONNECTIONS: '2' });
    const { url } = stage.server;
    const database = await openStorage(stage.storage);
    for (let index = 0; index < COLD; index += 1)
      await insertRows(database, `crowd/${index}`, [updateOf('cold')]);
    await database.close();
    const { ledger } = stage;
    await stage.whileTyping(async () => {
      await stage.firstAck();
      // Or all would be read before anybody could wait for them.
      proxy.slow({ delayMs: 20 });
      const since = performance.now();
      const open = new Set<number>();
      const opening = Array.from({ length: COLD }, async (_, index) => {
        const client = await rawYWebsocket(`${url}/crowd%2F${index}`);
        client.send({ type: 'step1', stateVector: EMPTY });
        const { update } = await client.next('step2', 120_000);
        expect(Buffer.from(update).includes('cold')).toBe(true);
        open.add(index);
      });
      const watching = async () => {
        while (open.size < COLD) {
          await stage.firstAck();
          expect(await readiness(url)).toMatchObject({ code: 200, database: 'there' });
        }
      };
      await Promise.all([...opening, watching()]);
      const crowdMs = performance.now() - since;
      const latencies = ledger.latencies(since);
      expect(Math.max(...latencies)).toBeLessThan(crowdMs / 3);
      const what = `ack while ${COLD} documents are opened in ${Math.round(crowdMs)} ms, ms`;
      task.meta.figures = [{ what, value: percentiles(latencies) }];
    });
    proxy.heal();
    await stage.allIsWell();
  },
  scaled(120_000, 600_000),
);
