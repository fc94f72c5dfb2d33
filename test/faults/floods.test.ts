import { once } from 'node:events';
import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, type Protocol, joinAs } from '../helpers/editor.ts';
import { heldSince, memoryOf } from '../helpers/memory.ts';
import { documentsBecome, valueOf } from '../helpers/metrics.ts';
import { joinPresence } from '../helpers/presence.ts';
import { startNode } from '../helpers/processes.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { type Storage, createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import type { Figure } from './figures.ts';
import { waitedForProcessor, watchResident } from './resident.ts';
import { Stage } from './stage.ts';
import { scaled } from './run.ts';

const MB = 1024 * 1024;
/** Between two edits of one person. */
const TYPING_MS = 5;
/** What everybody is promised while others do their worst. */
const ACK_MS = 250;

const inMB = (bytes: number) => `${Math.round(bytes / MB)} MB`;
const inMs = (ms: number) => `${Math.round(ms).toLocaleString('en')} ms`;

/** How long acks took, in milliseconds. */
interface AckTimes {
  count: number;
  /** By the clock. */
  slowest: number;
  /** Without what the server and this process waited for a processor meanwhile, on a machine with other work. */
  slowestOfOurs: number;
}

/** What is promised: by the clock in the long run, which has the machine to itself. */
const slowestOf = ({ slowest, slowestOfOurs }: AckTimes) => scaled(slowestOfOurs, slowest);

function describeTimes({ count, slowest, slowestOfOurs }: AckTimes): string {
  return `${inMs(slowest)} of ${count} acks, ${inMs(slowestOfOurs)} without waiting for a processor`;
}

/** Somebody who types one edit after the other until told to stop. */
async function typeSteadily({ url, pid }: ServerProcess, document: string) {
  const editor = await joinAs('hocuspocus', url, document);
  const times: AckTimes = { count: 0, slowest: 0, slowestOfOurs: 0 };
  const waited = () => waitedForProcessor(pid) + waitedForProcessor(process.pid);
  const typeOne = async () => {
    const [since, before] = [performance.now(), waited()];
    editor.doc.getMap('steady').set('edit', times.count);
    expect(await editor.ack(60_000)).toBe(true);
    const took = performance.now() - since;
    times.count += 1;
    times.slowest = Math.max(times.slowest, took);
    times.slowestOfOurs = Math.max(times.slowestOfOurs, took - (waited() - before));
    await new Promise((resolve) => setTimeout(resolve, TYPING_MS));
  };
  // When this one is acked, the document is open.
  editor.type('first');
  expect(await editor.ack(60_000)).toBe(true);
  const over = new AbortController();
  const typing = (async () => {
    while (!over.signal.aborted) await typeOne();
  })();
  const stop = async (): Promise<AckTimes> => {
    over.abort();
    await typing;
    editor.client.socket.terminate();
    return times;
  };
  return { stop };
}

/** Holds when the server has let go of what nobody on the stage uses. */
async function onlyTheStageIsLeft(stage: Stage): Promise<void> {
  // A document that all have left for a while is not in memory.
  await stage.settled();
  await documentsBecome(stage.server.url, stage.documents.length, 15_000);
}

const SMALL = 'floods/small';

/* Readers who are paused. */

const PASSING_MB = scaled(40, 200);
/** So large that the document is not folded meanwhile, which begins at 100 edits, and takes memory of its own. */
const PASTE = 'x'.repeat(2.5 * MB);
/** And between two looks at what the server holds. */
const PASTES_BETWEEN = 4;
const READ = 'floods/read';
const lastPaste = (doc: Y.Doc) => doc.getMap<string>('pastes').get('last');
/** What the server may hold for readers who do not read: LIMIT_SEND_BYTES and a frame, shared between them, and an edit. */
const HELD = 20 * MB;
/** What it may have of the machine meanwhile: a third is not collected yet without such readers, too. */
const PASSING_MEMORY = 150 * MB;

test(
  `[F21] while ${PASSING_MB} MB go past readers who do not read, the server takes no more memory, and nobody else notices`,
  async ({ task }) => {
    // Who sends too much is tested elsewhere, and so is a document that grows too large before it is folded.
    const env = { LIMIT_BYTES: `${1024 * MB}`, LIMIT_DOCUMENT_BYTES: `${1024 * MB}` };
    const stage = await Stage.set({ storage: await createStorage('postgres'), env });
    const { url, pid } = stage.server;
    const pausedReader = async (protocol: Protocol) => {
      const reader = await joinAs(protocol, url, READ);
      await reader.ask();
      reader.client.socket.pause();
      return reader.client;
    };
    // Some read again when it is too late, the others never.
    const late = await Promise.all(PROTOCOLS.map(pausedReader));
    const never = await Promise.all(PROTOCOLS.map(pausedReader));
    const refusals = () => valueOf(url, 'indelible_refused_total', { code: 'slow_reader' });
    const areSentAway = async () => {
      const areAll = async () => (await refusals()) === late.length + never.length;
      await vi.waitUntil(areAll, { timeout: 60_000 });
      for (const { socket } of late) socket.resume();
      return Promise.all(late.map((client) => client.closed()));
    };
    const author = await joinAs('y-websocket', url, READ);
    const reader = connectYWebsocket(url, encodeURIComponent(READ));
    await reader.synced();
    const paste = async (count: number) => {
      author.doc.getMap('pastes').set('last', `${count} ${PASTE}`);
      expect(await author.ack(30_000)).toBe(true);
    };
    await paste(0);
    const before = await memoryOf(stage.server);
    const resident = watchResident(pid);
    const held: number[] = [];
    const typing = await typeSteadily(stage.server, SMALL);
    const passing = stage.whileTyping(async () => {
      for (let count = 1; count * PASTE.length <= PASSING_MB * MB; count += 1) {
        await paste(count);
        if (count % PASTES_BETWEEN > 0) continue;
        held.push(heldSince(before, await memoryOf(stage.server)));
      }
    });
    for (const end of await areSentAway()) expect(end).toEqual({ code: 1013, reason: 'slow_reader' });
    await passing;
    const times = await typing.stop();
    await reader.sees((doc) => lastPaste(doc) === lastPaste(author.doc));
    expect(await refusals()).toBe(late.length + never.length);
    const grown = resident.peak() - resident.start;
    task.meta.figures = [
      {
        what: `${PASSING_MB} MB go past paused readers: memory above the start`,
        value: `${inMB(grown)}, ${inMB(Math.max(...held))} of it held`,
      },
      { what: 'acks in another document meanwhile', value: describeTimes(times) },
    ];
    expect(slowestOf(times)).toBeLessThan(ACK_MS);
    expect(Math.max(...held)).toBeLessThan(HELD);
    expect(grown).toBeLessThan(PASSING_MEMORY);
    for (const protocol of PROTOCOLS) {
      const again = await joinAs(protocol, url, READ);
      again.type('back');
      expect(await again.ack()).toBe(true);
      again.client.socket.terminate();
    }
    for (const { socket } of [...never, author.client]) socket.terminate();
    reader.destroy();
    await onlyTheStageIsLeft(stage);
    await stage.allIsWell();
  },
  scaled(60_000, 300_000),
);

/* Lines on which nothing arrives any more, and of whose end nobody is told. */

/** Long enough for a busy machine: the watcher in this process has to answer, too. */
const HEARTBEAT_MS = 1_000;
const HEARTBEATS = 3;

test(`[F22] clients whose line is a black hole are gone after ${HEARTBEATS} heartbeats, and what they typed meanwhile comes in when it is healed`, async ({
  task,
}) => {
  const proxies: Proxy[] = [];
  const between = async (url: string) => {
    const proxy = await startProxy(url);
    proxies.push(proxy);
    return proxy;
  };
  const env = { HEARTBEAT_MS: `${HEARTBEAT_MS}` };
  const stage = await Stage.set({ storage: await createStorage('postgres'), env, between });
  const [proxy] = proxies as [Proxy];
  const room = stage.documents[0] as string;
  const watcher = await joinPresence('hocuspocus', stage.server.url, room);
  watcher.asks();
  const people = stage.typists.filter(({ document }) => document === room);
  const ids = people.map(({ doc }) => doc.clientID);
  const figures: Figure[] = [];
  for (const direction of ['both', 'up', 'down'] as const) {
    await stage.settled();
    await watcher.sees((view) => ids.every((id) => id in view), 20_000);
    proxy.blackHole(direction);
    const since = performance.now();
    for (const typist of stage.typists) typist.type();
    // What was on its way is here by now, or a sign of life at the next one.
    await once(watcher.client.socket, 'ping');
    let beats = 0;
    const count = () => (beats += 1);
    watcher.client.socket.on('ping', count);
    await watcher.sees((view) => !ids.some((id) => id in view), 20_000);
    watcher.client.socket.off('ping', count);
    figures.push({
      what: `black hole (${direction}), a heartbeat of ${HEARTBEAT_MS} ms: until those behind it are gone`,
      value: inMs(performance.now() - since),
    });
    expect(beats).toBeLessThanOrEqual(HEARTBEATS);
    for (const typist of stage.typists) typist.type();
    proxy.heal();
  }
  task.meta.figures = figures;
  watcher.client.socket.terminate();
  await stage.allIsWell();
}, 120_000);

/* A crowd that comes back at once. */

const CROWD = scaled(1_000, 5_000);
const CROWDED = 100;

test(
  `[F23] a crowd of ${CROWD} in ${CROWDED} documents that comes back at once after a kill is served to the last one, and no acknowledged edit is lost`,
  async ({ task }) => {
    const storage = await createStorage('postgres');
    const stage = await Stage.set({ storage });
    const crowd = await startNode(['test/faults/crowd.ts', stage.server.url, `${CROWD}`, `${CROWDED}`]);
    await stage.whileTyping(async () => {
      await crowd.line(/^in /, 120_000);
      await stage.server.kill('SIGKILL');
      await crowd.line(/^away$/, 30_000);
      await stage.nothingIsLost();
      // Before anybody can bring it again.
      const committed = await editsOfTheCrowd(storage);
      expect(editsOfAll(1).filter((edit) => !committed.has(edit))).toEqual([]);
      await stage.startServer();
      const resident = watchResident(stage.server.pid);
      const since = performance.now();
      crowd.signal('SIGUSR2');
      const [, failed] = await crowd.line(/^back (\d+)/, 120_000);
      task.meta.figures = [
        {
          what: `reconnect storm of ${CROWD.toLocaleString('en')}: until the last one is served`,
          value: `${inMs(performance.now() - since)}, ${failed} attempts failed`,
        },
        { what: 'memory above the start meanwhile', value: inMB(resident.peak() - resident.start) },
      ];
    });
    await stage.settled();
    await crowd.kill();
    await stage.allIsWell();
    const stored = await editsOfTheCrowd(storage);
    expect([...editsOfAll(1), ...editsOfAll(2)].filter((edit) => !stored.has(edit))).toEqual([]);
  },
  scaled(120_000, 600_000),
);

/** What each member types for a connection. */
function editsOfAll(connection: number): string[] {
  return Array.from({ length: CROWD }, (_, member) => `${member}.${connection}`);
}

async function editsOfTheCrowd(storage: Storage): Promise<Set<string>> {
  const database = await openStorage(storage);
  const edits = new Set<string>();
  for (let index = 0; index < CROWDED; index += 1) {
    const doc = await rebuild(database, `crowd/${index}`);
    for (const edit of doc?.getMap('crowd').keys() ?? []) edits.add(edit);
  }
  await database.close();
  return edits;
}

/* Questions of 20 bytes, and answers of 5 MB. */

const LARGE = 'floods/large';
const LARGE_MB = 5;
const ASKERS = 400;
/** How long they go on asking; the last answers come later. */
const ASKING_MS = scaled(1_000, 10_000);
const ANSWERS_MS = 60_000;
/** How often it is tried once more at most, where the machine has other work. */
const AGAIN = scaled(2, 0);
const ASKING_MEMORY = 200 * MB;
/** Edits of a document with which folding begins. */
const FOLDED_FROM = 100;
const SENTENCE = 'A sentence of sixty characters, as somebody may have typed. ';
/** What an edit takes beside its text, at least. */
const STRUCT_BYTES = 8;

/** One sentence after the other, each in front of the last, so that none becomes a part of another. */
function manyEdits(): Y.Doc {
  const doc = new Y.Doc();
  const text = doc.getText('content');
  for (let size = 0; size < LARGE_MB * MB; size += SENTENCE.length + STRUCT_BYTES) text.insert(0, SENTENCE);
  return doc;
}

function onePaste(): Y.Doc {
  const doc = new Y.Doc();
  doc.getText('content').insert(0, 'x'.repeat(LARGE_MB * MB));
  return doc;
}

/** Puts a document into a database by a server that ends then. @returns how many bytes it has */
async function store(storage: Storage, document: string, content: Y.Doc): Promise<number> {
  const server = await spawnServer(storage);
  const author = await joinAs('y-websocket', server.url, document);
  const state = Y.encodeStateAsUpdate(content);
  author.send(state);
  expect(await author.ack(30_000)).toBe(true);
  // So that it is folded now, and not when it is asked for; one after the other, or they would be one row.
  for (let edit = 0; edit < FOLDED_FROM; edit += 1) {
    author.type('.');
    expect(await author.ack(30_000)).toBe(true);
  }
  author.client.socket.terminate();
  const folds = () => valueOf(server.url, 'indelible_folds_total', { result: 'folded' });
  await expect.poll(folds, { timeout: 30_000 }).toBe(1);
  expect((await server.kill('SIGTERM', 30_000)).code).toBe(0);
  return state.byteLength;
}

test.for([
  ['many edits', manyEdits],
  ['one paste', onePaste],
] as const)(
  `[F24] people who ask for all of a document of ${LARGE_MB} MB, ${ASKERS} at once and again and again, keep nobody waiting, and take little memory: of %s`,
  { timeout: 120_000 },
  async ([kind, create], { task }) => {
    const storage = await createStorage('postgres');
    const bytes = await store(storage, LARGE, create());
    expect(bytes).toBeGreaterThanOrEqual(LARGE_MB * MB);
    const stage = await Stage.set({ storage });
    const { server } = stage;
    const beforeIt = watchResident(server.pid);
    const keeping = await joinAs('hocuspocus', server.url, LARGE);
    await keeping.ask();
    const opened = beforeIt.peak() - beforeIt.start;
    // From here on. Opening takes 80 MB more; and of all of it some 110 MB are V8's young generation, which grows once under any
    // load: with `--max-semi-space-size=8` it was 138 MB from the start of the server instead of 247.
    const resident = watchResident(server.pid);
    let flood = await askAtOnce(stage, bytes);
    // Other work of the machine may hold up Postgres, too; what holds up everybody each time is the server.
    for (let again = 0; again < AGAIN && isSlow(flood); again += 1) flood = await askAtOnce(stage, bytes);
    const { there, elsewhere, count, slowest } = flood;
    const fromOne = await askFromOneSocket(server);
    const grown = resident.peak() - resident.start;
    task.meta.figures = [
      {
        what: `${ASKERS} ask for ${LARGE_MB} MB (${kind}) again and again: memory beside the open document`,
        value: `${inMB(grown)}; opening it took ${inMB(opened)}; above the start of the server ${inMB(resident.peak() - beforeIt.start)}`,
      },
      { what: `${kind}: acks in the same document meanwhile`, value: describeTimes(there) },
      { what: `${kind}: acks in another document meanwhile`, value: describeTimes(elsewhere) },
      { what: `${kind}: the slowest of ${count} answers`, value: inMs(slowest) },
    ];
    expect(count).toBeGreaterThanOrEqual(ASKERS);
    expect(grown).toBeLessThan(ASKING_MEMORY);
    for (const times of [there, elsewhere, fromOne]) expect(slowestOf(times)).toBeLessThan(ACK_MS);
    keeping.client.socket.terminate();
    await onlyTheStageIsLeft(stage);
    await stage.allIsWell();
  },
);

interface Flood {
  there: AckTimes;
  elsewhere: AckTimes;
  /** Answers, and how long the slowest took. */
  count: number;
  slowest: number;
}

const isSlow = ({ there, elsewhere }: Flood) => Math.max(slowestOf(there), slowestOf(elsewhere)) >= ACK_MS;

/** All ask at once, and again, while others type in the same document, and in another. */
async function askAtOnce(stage: Stage, bytes: number): Promise<Flood> {
  const { server } = stage;
  const settings = [server.url, LARGE, ASKERS, bytes, ASKING_MS].map(String);
  const askers = await startNode(['test/faults/askers.ts', ...settings]);
  await askers.line(/^ready/, 30_000);
  const [inLarge, inSmall] = [await typeSteadily(server, LARGE), await typeSteadily(server, SMALL)];
  askers.signal('SIGUSR2');
  const [, count, slowest] = await stage.whileTyping(() =>
    askers.line(/^answered (\d+) slowest (\d+)/, ANSWERS_MS),
  );
  const [there, elsewhere] = [await inLarge.stop(), await inSmall.stop()];
  await askers.exited;
  return { there, elsewhere, count: Number(count), slowest: Number(slowest) };
}

/** As many questions as of all of them, from one socket, which is answered a few times. */
async function askFromOneSocket(server: ServerProcess): Promise<AckTimes> {
  const asker = await joinAs('hocuspocus', server.url, LARGE);
  const { client } = asker;
  const typing = await typeSteadily(server, LARGE);
  const stateVector = Y.encodeStateVector(new Y.Doc());
  for (let question = 0; question < ASKERS; question += 1) client.send({ type: 'step1', stateVector }, LARGE);
  asker.type('asked');
  expect(await asker.ack()).toBe(true);
  // The first, and the latest of those that came before its answer had left.
  for (let answer = 0; answer < 2; answer += 1) await client.next('step2', 30_000);
  await client.settled();
  expect(client.frames.filter((frame) => frame.type === 'step2').length).toBeLessThan(ASKERS / 10);
  client.socket.terminate();
  return typing.stop();
}

/* Presence of people who are not there. */

const IDS = scaled(60_000, 600_000);
/** Above those of people. */
const FIRST_ID = 2_000_000;
/** The default of LIMIT_PRESENCE_IDS. */
const OWNED = 8;
/** What is held of them, and what the server may have of the machine meanwhile. */
const PRESENCE_HELD = 5 * MB;
const PRESENCE_MEMORY = 100 * MB;
test.for(PROTOCOLS)(
  `[F25] of ${IDS} presence ids from one socket few are taken, and presence and acks of others go on, over %s`,
  { timeout: scaled(60_000, 600_000) },
  async (protocol, { task }) => {
    // So that they are not read more slowly, which would spare the others.
    const env = { LIMIT_FRAMES: '10000000', LIMIT_BYTES: `${1024 * MB}` };
    const stage = await Stage.set({ storage: await createStorage('postgres'), env });
    const { server } = stage;
    const room = stage.documents[0] as string;
    const join = () => joinPresence(protocol, server.url, room);
    const [watcher, person] = [await join(), await join()];
    watcher.asks();
    const before = await memoryOf(server);
    const resident = watchResident(server.pid);
    const figures: Figure[] = [];
    for (const inOne of [IDS, 1_000, 1]) {
      const flood = [server.url, room, protocol, FIRST_ID, IDS, inOne].map(String);
      const flooder = await startNode(['test/faults/flooder.ts', ...flood]);
      await flooder.line(/^ready/, 30_000);
      const typing = await typeSteadily(server, room);
      flooder.signal('SIGUSR2');
      await flooder.line(/^handled/, 120_000);
      person.says(1, figures.length + 1, { inOne });
      await watcher.sees((view) => JSON.stringify(view[1]) === JSON.stringify({ inOne }), 60_000);
      const times = await typing.stop();
      const taken = Object.keys(watcher.view()).filter((id) => isForged(Number(id)));
      figures.push({
        what: `${IDS.toLocaleString('en')} presence ids over ${protocol}, ${inOne.toLocaleString('en')} in a frame: acks meanwhile`,
        value: describeTimes(times),
      });
      // Where a frame has several, none of them is said to be the socket's own.
      expect(taken).toHaveLength(inOne === 1 ? OWNED : 0);
      expect(slowestOf(times)).toBeLessThan(ACK_MS);
      await flooder.kill();
      await watcher.sees((view) => !Object.keys(view).some((id) => isForged(Number(id))));
    }
    const grown = resident.peak() - resident.start;
    const held = heldSince(before, await memoryOf(server));
    figures.push({
      what: `the same over ${protocol}: memory above the start`,
      value: `${inMB(grown)}, ${inMB(held)} of it held`,
    });
    task.meta.figures = figures;
    expect(held).toBeLessThan(PRESENCE_HELD);
    expect(grown).toBeLessThan(PRESENCE_MEMORY);
    for (const { client } of [watcher, person]) client.socket.terminate();
    await stage.allIsWell();
  },
);

const isForged = (id: number) => id >= FIRST_ID && id < FIRST_ID + IDS;
