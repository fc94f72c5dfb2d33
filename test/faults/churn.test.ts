import { setImmediate as nextTurn, setTimeout as aMoment } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { COLLECTING, memoryOf } from '../helpers/memory.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { startProxy } from '../helpers/proxy.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import { randomOf } from '../helpers/random.ts';
import { Ledger } from './ledger.ts';
import { SEED, scaled } from './run.ts';
import { type Typist, startTypist } from './typist.ts';
import { endsWell, hasNoMoreMemory, isSame, isSilent, nothingIsLost } from './verdict.ts';

/** Of every piece between server and Postgres, so that documents are left long before their edits are committed. */
const DELAY_MS = 15;
const DOCUMENTS = Array.from({ length: 8 }, (_, index) => `churn/${index}`);
const VISITORS = 8;
const VISITS = scaled(160, 4_000);
/** From the signal to the end of a server that has nothing left to do. */
const PROMPT_MS = 3_000;

/** Environment of a server process that tells how many timers keep it alive, at a signal. */
const COUNTING_TIMERS = {
  NODE_OPTIONS: `${COLLECTING.NODE_OPTIONS} --import=data:text/javascript,${encodeURIComponent(
    `process.on('SIGUSR2', () => console.log('timers ' +
       process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length));`,
  )}`,
};

async function timersOf(server: ServerProcess): Promise<number> {
  const lines = () => server.stdout.filter((line) => line.startsWith('timers '));
  const { length } = lines();
  server.signal('SIGUSR2');
  await vi.waitUntil(() => lines().length > length);
  return Number(lines().at(-1)?.split(' ')[1]);
}

/** A server behind a proxy on its way to a database; with one connection, since each idle one has a timer. */
async function startChurn() {
  const storage = await createStorage('postgres');
  const proxy = await startProxy('databaseUrl' in storage ? storage.databaseUrl : '');
  const server = await spawnServer(
    { databaseUrl: proxy.url },
    { ...COUNTING_TIMERS, LIMIT_DATABASE_CONNECTIONS: '1' },
  );
  // Everything that lasts has its timer now.
  const first = await joinAs('y-websocket', server.url, 'churn/first');
  first.type('warm');
  expect(await first.ack()).toBe(true);
  first.client.socket.close();
  const isEmpty = async () => {
    await vi.waitFor(async () => {
      const metrics = await readMetrics(server.url);
      expect(metrics.value('indelible_documents')).toBe(0);
      expect(metrics.value('indelible_queue_updates')).toBe(0);
    }, 20_000);
  };
  await isEmpty();
  const timers = await timersOf(server);
  return {
    storage,
    proxy,
    server,
    before: await memoryOf(server),
    isEmpty,
    /** Fails unless no document is left, nor anything of one, and the server ends at once when it is told to. */
    leavesNothing: async () => {
      await isEmpty();
      await vi.waitFor(async () => expect(await timersOf(server)).toBeLessThanOrEqual(timers), 10_000);
      const since = performance.now();
      await endsWell(server);
      expect(performance.now() - since).toBeLessThan(PROMPT_MS);
      isSilent(server);
    },
  };
}

/** Types until something is on its way, since somebody may be offline for some edits. */
async function sends(typist: Typist): Promise<void> {
  const hasSent = () => {
    if (typist.onTheirWay === 0) typist.type();
    return typist.onTheirWay > 0;
  };
  await vi.waitUntil(hasSent, { interval: 5, timeout: 20_000 });
}

/** What somebody does who comes to a document. */
const VISIT: ((typist: Typist) => Promise<void>)[] = [
  // Stays until everything is acked.
  (typist) => typist.settled(),
  // Leaves while edits are on their way.
  sends,
  // Leaves at once, maybe before it is connected.
  () => nextTurn(),
  // Drops the line and comes back in the same turn or the next, over and over, while the document is being unloaded.
  async (typist) => {
    await typist.settled();
    for (let time = 0; time < 4; time += 1) {
      typist.type();
      typist.drop();
      if (time % 2 === 0) await nextTurn();
      // Comes back with the next edit.
      await sends(typist);
    }
    await typist.settled();
  },
];

test(
  `[F8] documents are opened, edited and left at once, over and over, while commits are slow (SEED=${SEED})`,
  async () => {
    const { storage, proxy, server, before, isEmpty, leavesNothing } = await startChurn();
    proxy.slow({ delayMs: DELAY_MS });
    const random = randomOf(SEED);
    const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
    const ledger = new Ledger();
    let visits = 0;
    const visitor = async () => {
      while (visits < VISITS) {
        visits += 1;
        const [document, protocol] = [pick(DOCUMENTS), pick(PROTOCOLS)];
        const name = `${protocol}.${visits}@${document}`;
        const typist = startTypist({ protocol, url: server.url, document, name, ledger, random });
        for (let edits = 1 + Math.floor(random() * 3); edits > 0; edits -= 1) typist.type();
        await pick(VISIT)(typist);
        typist.abandon();
      }
    };
    await Promise.all(Array.from({ length: VISITORS }, visitor));
    proxy.heal();
    expect(ledger.ackedCount).toBeGreaterThan(VISITS / 2);
    const database = await openStorage(storage);
    for (const document of DOCUMENTS) {
      const newcomer = connectYWebsocket(server.url, encodeURIComponent(document));
      await newcomer.synced();
      expect(ledger.lostIn(document, newcomer.doc), document).toEqual([]);
      const stored = await rebuild(database, document);
      expect(stored !== null && isSame(newcomer.doc, stored), document).toBe(true);
      newcomer.destroy();
    }
    await isEmpty();
    await hasNoMoreMemory(before, server);
    await leavesNothing();
    await nothingIsLost(ledger, storage, DOCUMENTS);
  },
  scaled(120_000, 1_200_000),
);

const ROUNDS = scaled(6, 200);
const TEXT = 'A long text. '.repeat(20_000);
/** Of the rounds in which a load hangs, how many until one of them hangs for longer than a server waits for a silent line. */
const LONG_HANGS = scaled(Infinity, 10);
const LONG_MS = 16_000;
/** More than the bytes by which a connection is opened, less than those of the text. */
const MIDDLE_BYTES = 100_000;

test(
  `[F9] a load that breaks or hangs in the middle leaves the document as it was, nothing behind, and the next one works (SEED=${SEED})`,
  async () => {
    const { storage, proxy, server, before: atFirst, isEmpty, leavesNothing } = await startChurn();
    const random = randomOf(SEED);
    const name = 'churn/loads';
    const author = await joinAs('y-websocket', server.url, name);
    author.type(TEXT);
    expect(await author.ack()).toBe(true);
    author.client.socket.close();
    await isEmpty();
    const database = await openStorage(storage);
    const rows = async () => {
      const { rows: found } = await database.queries.query(
        'select id, document, author, created_at, quarantined, md5(update) from indelible.updates order by id',
      );
      return found;
    };
    const before = await rows();

    for (let round = 0; round < ROUNDS; round += 1) {
      const isCut = round % 2 === 0;
      const isLong = !isCut && round % (2 * LONG_HANGS) === 1;
      const cut = isCut && proxy.cutAfter('down', MIDDLE_BYTES + Math.floor(random() * MIDDLE_BYTES));
      if (!isCut) proxy.slow({ bytesPerSecond: 2_000_000 });
      const leaving = await joinAs('hocuspocus', server.url, name);
      const staying = connectYWebsocket(server.url, encodeURIComponent(name));
      if (isCut) await cut;
      else {
        // Some of it is on its way.
        await vi.waitUntil(() => staying.provider.wsconnected);
        proxy.blackHole();
        if (isLong) await aMoment(LONG_MS);
      }
      leaving.client.socket.terminate();
      expect(staying.provider.synced).toBe(false);
      if (round % 3 === 0) staying.destroy();
      proxy.heal();
      const next = await joinAs('y-websocket', server.url, name);
      expect(textOf(await next.ask())).toBe(TEXT);
      if (round % 3 !== 0) await staying.synced();
      staying.destroy();
      next.client.socket.close();
      await isEmpty();
      expect(await rows()).toEqual(before);
    }
    const stored = await rebuild(database, name);
    expect(stored && textOf(stored)).toBe(TEXT);
    await hasNoMoreMemory(atFirst, server);
    await leavesNothing();
  },
  scaled(60_000, 900_000),
);
