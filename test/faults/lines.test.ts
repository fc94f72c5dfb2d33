import { expect, test, vi } from 'vitest';
import { PROTOCOLS, joinAs } from '../helpers/editor.ts';
import { memoryOf } from '../helpers/memory.ts';
import { readMetrics } from '../helpers/metrics.ts';
import { createDatabase, queryOnce } from '../helpers/postgres.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { type Pick, pickOf, shuffled } from '../helpers/random.ts';
import { percentiles } from './figures.ts';
import { Stage } from './stage.ts';
import { SEED, scaled } from './run.ts';
import { hasNoMoreMemory } from './verdict.ts';

/** From a fault to the ack of everything that everybody has typed. Clients wait for 0.1 to 0.5 s before they try again. */
const BACK_MS = 10_000;
const DOCUMENTS = ['lines/one', 'lines/two', 'lines/three'];
/** For the people and some more, so that nobody gets in any more when lines are counted that are gone. */
const ROOM = { LIMIT_CONNECTIONS: '30', LIMIT_CONNECTIONS_PER_DOCUMENT: '10' };
const REFUSALS = ['too_many_connections', 'document_full'];

interface Scene {
  stage: Stage;
  /** Between clients and server. */
  proxy: Proxy;
  /** URL of the database. */
  database: string;
}

async function setScene(seed: number, env: Record<string, string> = {}): Promise<Scene> {
  const { url: database } = await createDatabase();
  const proxies: Proxy[] = [];
  const between = async (url: string) => {
    const proxy = await startProxy(url);
    proxies.push(proxy);
    return proxy;
  };
  const stage = await Stage.set({
    storage: { databaseUrl: database },
    between,
    seed,
    documents: DOCUMENTS,
    env: { ...ROOM, ...env },
  });
  const [proxy] = proxies as [Proxy];
  return { stage, proxy, database };
}

/** Holds when the server has a socket for everybody who is there, and nothing is left of any line that broke. */
async function onlyPeopleAreLeft({ stage, database }: Scene): Promise<void> {
  const { url } = stage.server;
  const people = PROTOCOLS.map((its) => stage.typists.filter(({ protocol }) => protocol === its).length);
  const told = await vi.waitFor(async () => {
    const metrics = await readMetrics(url);
    const sockets = PROTOCOLS.map((protocol) => metrics.value('indelible_connections', { protocol }));
    expect(sockets, `sockets of ${PROTOCOLS.join(' and ')}`).toEqual(people);
    expect(metrics.value('indelible_documents')).toBe(DOCUMENTS.length);
    // Those of handshakes that came to nothing too.
    const lines = metrics.value('nodejs_active_resources', { type: 'TCPSocketWrap' });
    const others = (await linesTo(database)) + LINES_OF_METRICS;
    expect(lines - others, 'TCP lines').toBe(stage.typists.length);
    return metrics;
  }, 10_000);
  for (const code of REFUSALS) expect(told.value('indelible_refused_total', { code }), code).toBe(0);
}

/** Over which a server is asked for its metrics. */
const LINES_OF_METRICS = 1;

/** How many lines a server has to its database. */
async function linesTo(database: string): Promise<number> {
  const [row] = await queryOnce<{ count: number }>(
    { connectionString: database, application_name: 'test' },
    `select count(*)::int as count from pg_stat_activity
       where datname = current_database() and application_name = 'indelible'`,
  );
  return row?.count ?? 0;
}

/* Lines that are slow and thin. */

/** At the edge of a network, where there is room for what people type, and for little more. */
const THIN = { delayMs: 150, bytesPerSecond: 10_000 };
const HEARTBEAT_MS = 1_000;
/** Who misses two is gone with the third. */
const HEARTBEATS = scaled(3, 20);

test(
  `[F10] over slow and thin lines acks keep coming, and nobody is taken for gone (SEED=${SEED})`,
  async ({ task }) => {
    const scene = await setScene(SEED, { HEARTBEAT_MS: `${HEARTBEAT_MS}` });
    const { stage, proxy } = scene;
    const [room] = DOCUMENTS as [string];
    const quiet = await Promise.all(PROTOCOLS.map((protocol) => joinAs(protocol, stage.url, room)));
    const sockets = quiet.map(({ client }) => client.socket);
    let beats = 0;
    for (const socket of sockets) socket.on('ping', () => (beats += 1));
    proxy.slow(THIN);
    const since = performance.now();
    await stage.whileTyping(async () => {
      while (beats < HEARTBEATS * sockets.length) {
        expect(await stage.firstAck()).toBeLessThan(BACK_MS);
        for (const { readyState, OPEN } of sockets) expect(readyState).toBe(OPEN);
      }
    });
    const what = `ack over lines of ${THIN.bytesPerSecond / 1000} KB/s that delay by ${THIN.delayMs} ms each way`;
    task.meta.figures = [{ what, value: percentiles(stage.ledger.latencies(since)) }];
    await stage.settled();
    proxy.heal();
    for (const socket of sockets) socket.terminate();
    await onlyPeopleAreLeft(scene);
    await stage.allIsWell();
  },
  scaled(60_000, 300_000),
);

/* Lines that break. */

/** The shortest request for a socket has some more, and so has the answer. */
const HANDSHAKE_BYTES = { up: 200, down: 120 };
/** What people type in 0.1 s, and are sent meanwhile. */
const TYPED_BYTES = 1_000;
/** Comes in more than one piece. */
const PASTE = 'x'.repeat(150_000);
/** Every other time lines are slow too, so that more is on its way. */
const SLOW = { delayMs: 30, bytesPerSecond: 1_000_000 };

interface Fault {
  what: string;
  strike: (scene: Scene, pick: Pick) => Promise<void> | void;
}

/** Somebody sends a lot of text in one frame, and somebody else is sent it. */
function paste({ stage }: Scene, pick: Pick): void {
  stage.typists[pick(stage.typists.length)]?.doc.getMap('pastes').set('last', PASTE);
}

/** What happens to one line at some byte, whatever that is a part of. */
const AT_A_BYTE: Fault[] = (['up', 'down'] as const).flatMap((direction) =>
  (['cutAfter', 'halfCloseAfter'] as const).flatMap((breakAfter) => {
    const how = `${breakAfter === 'cutAfter' ? 'cut' : 'half closed'} (${direction}) in the middle of`;
    return [
      {
        what: `${how} what people type`,
        strike: ({ proxy }, pick) => proxy[breakAfter](direction, pick(TYPED_BYTES)),
      },
      {
        what: `${how} a large frame`,
        strike: (scene, pick) => {
          paste(scene, pick);
          return scene.proxy[breakAfter](direction, pick(PASTE.length));
        },
      },
      {
        what: `${how} a handshake`,
        strike: ({ proxy }, pick) => {
          // Whatever goes next is one.
          proxy.reset();
          return proxy[breakAfter](direction, pick(HANDSHAKE_BYTES[direction]));
        },
      },
    ] satisfies Fault[];
  }),
);

/** What happens to all lines that are open. */
const AT_ONCE: Fault[] = [
  { what: 'half closed (up)', strike: ({ proxy }) => proxy.halfClose('up') },
  { what: 'half closed (down)', strike: ({ proxy }) => proxy.halfClose('down') },
  { what: 'reset', strike: ({ proxy }) => proxy.reset() },
];

const KILL: Fault = {
  what: 'ended with their server',
  strike: async ({ stage }) => {
    // It has just acknowledged something, and has more to commit.
    for (const typist of stage.typists) typist.type();
    await stage.firstAck();
    await stage.server.kill('SIGKILL');
    await stage.nothingIsLost();
    await stage.startServer();
  },
};

/** How often in a row a fault strikes before everybody is back, at most. */
const IN_A_ROW = scaled(2, 4);
/** Of all faults. Each has a server and documents of its own, since these grow. */
const ROUNDS = scaled(1, 6);

interface Endured {
  what: string;
  /** From the fault to the last ack of what was typed before it, while it struck, and after it. */
  ms: number;
}

async function endure({ what, strike }: Fault, scene: Scene, pick: Pick): Promise<Endured> {
  try {
    return { what, ms: await survive(strike, scene, pick) };
  } catch (cause) {
    throw new Error(`after lines were ${what}`, { cause });
  }
}

async function survive(strike: Fault['strike'], scene: Scene, pick: Pick): Promise<number> {
  const { stage, proxy } = scene;
  proxy.slow(pick(2) === 0 ? SLOW : {});
  const struckAt = await stage.whileTyping(async () => {
    let at = 0;
    for (let times = 1 + pick(IN_A_ROW); times > 0; times -= 1) {
      await strike(scene, pick);
      at = performance.now();
      await stage.firstAck();
    }
    return at;
  });
  // So that everybody needs a line.
  for (const typist of stage.typists) typist.type();
  await stage.settled();
  const ms = performance.now() - struckAt;
  await onlyPeopleAreLeft(scene);
  return ms;
}

/** One after the other, in the life of one server. */
async function endureAll(faults: readonly Fault[], scene: Scene, pick: Pick): Promise<Endured[]> {
  const { stage } = scene;
  const before = await memoryOf(stage.server);
  const endured: Endured[] = [];
  for (const fault of faults) endured.push(await endure(fault, scene, pick));
  await hasNoMoreMemory(before, stage.server);
  return endured;
}

test(
  `[F10] however lines between clients and server break, also when it is killed meanwhile, acks come soon again, and no line is left (SEED=${SEED})`,
  async ({ task }) => {
    const endured: Endured[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const scene = await setScene(SEED + round);
      const pick = pickOf(scene.stage.chance);
      const faults = shuffled([...AT_A_BYTE, ...AT_ONCE], pick);
      const half = Math.ceil(faults.length / 2);
      endured.push(...(await endureAll(faults.slice(0, half), scene, pick)));
      endured.push(await endure(KILL, scene, pick));
      endured.push(...(await endureAll(faults.slice(half), scene, pick)));
      scene.proxy.heal();
      await scene.stage.allIsWell();
    }
    expect(endured.filter(({ ms }) => ms >= BACK_MS)).toEqual([]);
    const what = `lines to clients break, ${endured.length} times: until all that was typed is acked`;
    task.meta.figures = [{ what, value: percentiles(endured.map(({ ms }) => ms)) }];
  },
  scaled(120_000, 1_800_000),
);
