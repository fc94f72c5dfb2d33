import { setTimeout as aMoment } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { memoryOf } from '../helpers/memory.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';
import { percentiles } from './figures.ts';
import { Ledger } from './ledger.ts';
import { FIRST_ACK_MS, SEED, scaled } from './run.ts';
import { Replicas } from './replicas.ts';
import { Stage } from './stage.ts';
import { startTypist } from './typist.ts';
import { hasNoMoreMemory, nothingIsLost } from './verdict.ts';

const FAILOVERS = scaled(2, 20);
/** Acks between two failovers, at most. */
const ACKS = 200;
/** How long a server waits for a database that is silent, and what it takes to find another one. */
const SILENCE_MS = 25_000;
/** How often a commit that waits for the standby is cancelled. */
const CANCELS = 3;
/** So many edits are typed while the standby does not get them. */
const EDITS = 30;

/** Whether a document has everything that its owner typed in another one. */
function hasAll({ store }: Y.Doc, of: Y.Doc): boolean {
  return Y.getState(store, of.clientID) === Y.getState(of.store, of.clientID);
}

/** Types until the primary has been killed at a random instant; the server before it, at the same time, or not at all. */
async function killWhileTyping(stage: Stage, replicas: Replicas, withServer: boolean): Promise<void> {
  await stage.whileTyping(async () => {
    const acked = stage.ledger.ackedCount + Math.floor(stage.chance() * ACKS);
    while (stage.ledger.ackedCount <= acked) {
      for (const typist of stage.typists) typist.type();
      await aMoment(1);
    }
    if (withServer && stage.chance() < 0.5) await stage.server.kill('SIGKILL');
    await Promise.all([replicas.killPrimary(), withServer && stage.server.kill('SIGKILL')]);
  });
}

test(
  `[F40] of ${FAILOVERS} failovers to a synchronous standby, with the server and without, none loses an acknowledged edit (SEED=${SEED})`,
  async ({ task }) => {
    const replicas = await Replicas.start({ isSynchronous: true });
    const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url } });
    const firstAcks: number[] = [];
    for (let round = 0; round < FAILOVERS; round += 1) {
      const withServer = round % 2 === 1;
      await killWhileTyping(stage, replicas, withServer);
      await replicas.promote();
      // The standby alone: the server does not reach it yet, so nobody has brought anything back.
      await nothingIsLost(stage.ledger, { databaseUrl: replicas.primary.url }, [...stage.documents]);
      replicas.moveAddress();
      if (withServer) {
        stage.someAreReplaced();
        await stage.startServer();
      } else {
        firstAcks.push(await stage.whileTyping(() => stage.firstAck()));
      }
      await stage.settled();
      await replicas.replicateAgain();
    }
    task.meta.figures = [{ what: 'first ack after a failover', value: percentiles(firstAcks) }];
    expect(Math.max(...firstAcks)).toBeLessThan(FIRST_ACK_MS);
    await stage.allIsWell();
  },
  scaled(120_000, 1_800_000),
);

test('[F41] a commit is not acknowledged when its wait for the standby is cancelled, and is tried until it is confirmed', async () => {
  const replicas = await Replicas.start({ isSynchronous: true });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url } });
  // A default that keeps back the warning by which it is known.
  await replicas.query(`alter role postgres set client_min_messages = 'error'`);
  await stage.server.kill('SIGTERM', 30_000);
  await stage.startServer();
  await stage.settled();
  replicas.line.blackHole();
  const acked = stage.ledger.ackedCount;
  for (const typist of stage.typists) typist.type();
  const cancelled = new Set<number>();
  for (let time = 0; time < CANCELS; time += 1) {
    const another = async () => (await replicas.waiting()).find((pid) => !cancelled.has(pid));
    await expect.poll(another, { timeout: 10_000 }).toBeDefined();
    const pid = (await another()) as number;
    await replicas.query('select pg_cancel_backend($1)', [pid]);
    cancelled.add(pid);
  }
  await stage.server.line(/no standby has confirmed the commit/);
  expect(await readiness(stage.server.url)).toMatchObject({ code: 503 });
  expect(stage.ledger.ackedCount).toBe(acked);
  // They are in the primary, where anybody may read them; the standby has nothing of them.
  await replicas.killPrimary();
  await replicas.promote();
  await nothingIsLost(stage.ledger, { databaseUrl: replicas.primary.url }, [...stage.documents]);
  expect(stage.ledger.ackedCount).toBe(acked);
  replicas.moveAddress();
  await stage.allIsWell();
}, 60_000);

test('[F42] what an asynchronous standby has not received is lost with the primary, until a client that has it comes back', async () => {
  const replicas = await Replicas.start({ isSynchronous: false });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url } });
  const { url, random } = stage;
  // Somebody alone in a document, who will never come back. The ledger of their own says what is owed to nobody then.
  const [document, ledger] = ['faults/alone', new Ledger()];
  const loner = startTypist({ protocol: 'y-websocket', url, document, name: 'loner', ledger, random });
  const type = async (edits: number) => {
    for (let edit = 0; edit < edits; edit += 1) for (const typist of [...stage.typists, loner]) typist.type();
    await Promise.all([stage.settled(), loner.settled()]);
  };
  await type(1);
  await expect.poll(() => replicas.lag()).toBe(0);
  const known = ledger.ackedCount;
  replicas.line.blackHole();
  await type(EDITS);
  loner.leave();
  await Promise.all([replicas.killPrimary(), stage.server.kill('SIGKILL')]);
  await replicas.promote();

  const storage = await openStorage({ databaseUrl: replicas.primary.url });
  const lostIn = async (its: Ledger, name: string) => its.lostElementsIn(name, await rebuild(storage, name));
  for (const each of stage.documents) expect(await lostIn(stage.ledger, each), each).toHaveLength(2 * EDITS);
  replicas.moveAddress();
  await stage.startServer();
  // Everybody else comes back, with what the new primary lacks.
  await stage.allIsWell();
  expect(await lostIn(ledger, document)).toHaveLength(ledger.ackedCount - known);
}, 60_000);

test('[F43] a server that lives on after such a loss forgets what the new primary lacks, and takes it from those who have it', async () => {
  const replicas = await Replicas.start({ isSynchronous: false });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url }, isAlwaysOnline: true });
  const { url, ledger, random } = stage;
  const document = 'faults/new';
  await expect.poll(() => replicas.lag()).toBe(0);
  replicas.line.blackHole();
  // The new primary does not even know that there is such a document, and might use its id for another one.
  const author = startTypist({
    protocol: 'hocuspocus',
    url,
    document,
    name: 'author',
    ledger,
    random,
    isAlwaysOnline: true,
  });
  author.type();
  await author.settled();
  await replicas.killPrimary();
  await replicas.promote();
  const database = await openStorage({ databaseUrl: replicas.primary.url });
  expect(ledger.lostElementsIn(document, await rebuild(database, document))).not.toEqual([]);
  await database.close();
  replicas.moveAddress();
  for (const typist of [...stage.typists, author]) typist.type();
  await Promise.all([stage.settled(), author.settled()]);
  await stage.server.line(/a standby has taken the place of the database/);
  stage.typists.push(author);
  await stage.allIsWell();
}, 60_000);

test('[F50] what a document was loaded with is not acknowledged either before a synchronous standby has it', async () => {
  const replicas = await Replicas.start({ isSynchronous: true });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url }, isAlwaysOnline: true });
  await stage.settled();
  replicas.line.blackHole();
  const { ledger, typists } = stage;
  const acked = ledger.ackedCount;
  for (const typist of typists) typist.type();
  await expect.poll(() => replicas.waiting(), { timeout: 10_000 }).toHaveLength(1);
  await stage.server.kill('SIGKILL');
  // What waited for the standby is there for everybody to read when the primary has recovered.
  await replicas.restartPrimary();
  await stage.startServer();
  // Everybody repeats what the server has read there.
  await Promise.all(typists.map((typist) => typist.synced(20_000)));
  for (const typist of typists) typist.type();
  // What is typed now reaches the others, so what was sent before it has been handled.
  const others = typists.flatMap((one) =>
    typists.filter(({ document }) => document === one.document).map((other) => [one.doc, other.doc] as const),
  );
  await expect.poll(() => others.every(([one, other]) => hasAll(one, other)), { timeout: 10_000 }).toBe(true);
  expect(ledger.ackedCount).toBe(acked);
  await replicas.killPrimary();
  await replicas.promote();
  await nothingIsLost(ledger, { databaseUrl: replicas.primary.url }, [...stage.documents]);
  replicas.moveAddress();
  await stage.allIsWell();
}, 60_000);

test('[F51] while a synchronous standby is away nothing is acknowledged, which is said, and Postgres is not left with commits that nobody waits for', async ({
  task,
}) => {
  const replicas = await Replicas.start({ isSynchronous: true });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url } });
  await stage.settled();
  const before = await memoryOf(stage.server);
  const { ledger, server } = stage;
  await stage.whileTyping(async () => {
    replicas.line.blackHole();
    await expect.poll(() => replicas.waiting(), { timeout: 10_000 }).toHaveLength(1);
    const { ackedCount } = ledger;
    await readinessBecomes(server.url, { code: 503 });
    // Longer than a statement may take that waits for nothing.
    await server.line(/a commit waits for a standby/, 40_000);
    expect(await replicas.waiting()).toHaveLength(1);
    expect(ledger.ackedCount).toBe(ackedCount);
    await hasNoMoreMemory(before, server);
    replicas.line.heal();
    const firstAck = await stage.firstAck();
    task.meta.figures = [{ what: 'first ack when the standby is back', value: percentiles([firstAck]) }];
    expect(firstAck).toBeLessThan(FIRST_ACK_MS);
  });
  await stage.allIsWell();
}, 90_000);

test('[F52] a primary that only falls silent is given up, and the server goes on with the standby', async () => {
  const replicas = await Replicas.start({ isSynchronous: true });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url } });
  await stage.settled();
  await stage.whileTyping(async () => {
    replicas.primary.freeze();
    await replicas.promote();
    // Nobody resets the lines to the one that was the primary.
    replicas.address.retarget(replicas.primary.url);
    expect(await stage.firstAck()).toBeLessThan(SILENCE_MS);
  });
  await stage.allIsWell();
}, 120_000);

test('[F53] after a failover nothing is read any more from what was the primary, though it is alive and connections to it are open', async () => {
  const replicas = await Replicas.start({ isSynchronous: false });
  const stage = await Stage.set({ storage: { databaseUrl: replicas.address.url }, isAlwaysOnline: true });
  await expect.poll(() => replicas.lag()).toBe(0);
  replicas.line.blackHole();
  for (const typist of stage.typists) typist.type();
  await stage.settled();
  await replicas.promote();
  // For new lines only.
  replicas.address.retarget(replicas.primary.url);
  await replicas.endCommits();
  for (const typist of stage.typists) typist.type();
  await stage.server.line(/a standby has taken the place of the database/);
  // Everybody repeats what only the one before had, and that would be taken for known in what it was loaded from.
  await stage.allIsWell();
}, 60_000);
