import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { freePort } from '../helpers/ports.ts';
import { startNode } from '../helpers/processes.ts';
import { spawnServer } from '../helpers/server.ts';
import { createDatabase, queryOnce } from '../helpers/postgres.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';
import { randomOf } from '../helpers/random.ts';
import { Ledger } from './ledger.ts';
import type { LoadResult } from './load.ts';
import { SEED } from './run.ts';
import { startTypist, type Typist } from './typist.ts';

const KILLS = 20;
const LATENCY_MS = 120_000;
const LOSS_MS = 600_000;
const SECONDS = 20;
/** Of steady typing before a kill. */
const TYPING_MS = 3_000;
const PAUSE_MS = 10;
/** Acks at each kill, at least. */
const DOZENS = 50;

/** On two cores that are shared with the clients. */
const AIMS: Record<number, string> = { 5_000: ' (aim: p50 under 10, p99 under 100)' };

interface Peer {
  url: string;
  kill(): Promise<unknown>;
  /** A document as its database alone gives it. */
  read(name: string): Promise<Y.Doc | null>;
}

async function startIndelible(databaseUrl: string): Promise<Peer> {
  const server = await spawnServer({ databaseUrl });
  return {
    url: server.url,
    kill: () => server.kill('SIGKILL'),
    async read(name) {
      const database = await openStorage({ databaseUrl });
      const doc = await rebuild(database, name);
      await database.close();
      return doc;
    },
  };
}

async function startStock(databaseUrl: string): Promise<Peer> {
  const port = `${await freePort()}`;
  const server = await startNode(['test/faults/stock-server.ts'], {
    env: { PORT: port, DATABASE_URL: databaseUrl },
  });
  await server.line(/ready/, 30_000);
  return {
    url: `http://127.0.0.1:${port}`,
    kill: () => server.kill('SIGKILL'),
    async read(name) {
      const statement = 'select data from documents where name = $1';
      const [row] = await queryOnce<{ data: Buffer }>(databaseUrl, statement, [name]);
      if (row === undefined) return null;
      const doc = new Y.Doc();
      Y.applyUpdate(doc, row.data);
      return doc;
    },
  };
}

const PEERS = [
  ['Indelible', startIndelible, false],
  ['stock Hocuspocus with extension-database', startStock, true],
] as const;

describe.each(PEERS)('%s', (name, start, doesLose) => {
  test.for([100, 1_000, 5_000])(
    `[F60] ack latency of ${name} at %i edits/s`,
    { timeout: LATENCY_MS },
    async (rate, { task }) => {
      const peer = await start((await createDatabase()).url);
      const load = await startNode(['test/faults/load.ts', peer.url, `${rate}`, `${SECONDS}`]);
      const [line] = await load.line(/^\{.*\}$/, 120_000);
      const result = JSON.parse(line) as LoadResult;
      // Each ack says that its edit is saved, and the load was what it should be.
      expect(result.saved).toBe(result.sent);
      expect(result.perSecond).toBeGreaterThan(rate * 0.95);
      const edits = `of ${result.sent} edits, ${Math.round(result.perSecond)} a second`;
      task.meta.figures = [
        { what: `acks ${edits}, from when an edit is sent${AIMS[rate] ?? ''}`, value: result.fromSending },
        { what: 'from when it was due, so that a load that is late counts, too', value: result.fromBeingDue },
      ];
    },
  );

  test(
    `[F60] what ${name} loses by kill -9 under steady typing, when nobody comes back (SEED=${SEED})`,
    { timeout: LOSS_MS },
    async ({ task }) => {
      const random = randomOf(SEED);
      const { url: databaseUrl } = await createDatabase();
      const ledger = new Ledger();
      let lost = 0;
      for (let kill = 0; kill < KILLS; kill += 1) {
        const peer = await start(databaseUrl);
        const documents = ['one', 'two', 'three'].map((document) => `kill/${kill}/${document}`);
        const typists = documents.flatMap((document) =>
          [0, 1].map((person) =>
            startPerson({ url: peer.url, document, name: `${person}@${document}`, ledger, random }),
          ),
        );
        await typeSteadily(typists, random);
        await peer.kill();
        for (const typist of typists) typist.abandon();
        for (const document of documents)
          lost += ledger.lostElementsIn(document, await peer.read(document)).length;
      }
      expect(ledger.ackedCount).toBeGreaterThan(KILLS * DOZENS);
      expect(lost > 0).toBe(doesLose);
      task.meta.figures = [
        { what: `${KILLS} kills: acknowledged edits`, value: `${ledger.ackedCount}, lost ${lost}` },
      ];
    },
  );
});

/** Both speak the protocol of Hocuspocus; stock speaks no other. */
function startPerson(options: Omit<Parameters<typeof startTypist>[0], 'protocol'>): Typist {
  return startTypist({ protocol: 'hocuspocus', ...options });
}

async function typeSteadily(typists: readonly Typist[], random: () => number): Promise<void> {
  for (const since = performance.now(); performance.now() - since < TYPING_MS;) {
    typists[Math.floor(random() * typists.length)]?.type();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
