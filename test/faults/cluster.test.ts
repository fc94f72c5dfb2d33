import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { ownPrefix } from '../helpers/instances.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { pickOf, shuffled } from '../helpers/random.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { type RedisServer, startRedisServer } from '../helpers/redis.ts';
import { percentiles } from './figures.ts';
import { SEED, scaled } from './run.ts';
import { Stage } from './stage.ts';
import type { Typist } from './typist.ts';

const DOCUMENTS = ['cluster/one', 'cluster/two'];
/** Without an edit, instances are the same within this time of Redis's return. */
const CONVERGED_MS = 5_000;
/** And while they cannot hear each other, within a time that nobody promises. */
const THROUGH_POSTGRES_MS = 20_000;
/** Edits of somebody that are typed at once. */
const BURST = 5;

interface Scene {
  stage: Stage;
  redis: RedisServer;
  /** From each instance to Redis. */
  toRedis: Proxy[];
  /** And to Postgres. */
  toPostgres: Proxy[];
}

/** So many instances on one Postgres and one Redis, each with lines of its own to both. */
async function setScene(
  count: number,
  options: { isAlwaysOnline?: boolean; drainMs?: number } = {},
): Promise<Scene> {
  const { url: databaseUrl } = await createDatabase();
  const redis = await startRedisServer();
  const linesTo = (url: string) => Promise.all(Array.from({ length: count }, () => startProxy(url)));
  const [toRedis, toPostgres] = [await linesTo(redis.url), await linesTo(databaseUrl)];
  const { isAlwaysOnline = false, drainMs = 0 } = options;
  const stage = await Stage.set({
    storage: { databaseUrl },
    documents: DOCUMENTS,
    isAlwaysOnline,
    env: { REDIS_PREFIX: ownPrefix(), DRAIN_MS: `${drainMs}` },
    servers: toRedis.map(({ url }, place) => ({
      REDIS_URL: url,
      DATABASE_URL: toPostgres[place]?.url ?? '',
    })),
  });
  await allReach(stage);
  return { stage, redis, toRedis, toPostgres };
}

/** Holds when all instances reach Redis. */
async function allReach({ servers }: Stage): Promise<void> {
  await Promise.all(servers.map(({ url }) => readinessBecomes(url, { status: 'ready' })));
}

/** Another one than this. */
function elsewhere(place: number, { servers, chance }: Stage): number {
  return (place + 1 + pickOf(chance)(servers.length - 1)) % servers.length;
}

function burst(typists: readonly Typist[]): void {
  for (let edits = 0; edits < BURST; edits += 1) for (const typist of typists) typist.type();
}

/* Instances that are killed, stand still, or are restarted. */

const KILLS = scaled(3, 200);

test(
  `[N20] one of three instances is killed under load, ${KILLS} times, while another may stand still, and their people go on (SEED=${SEED})`,
  async ({ task }) => {
    const { stage } = await setScene(3);
    const { ledger } = stage;
    const pick = pickOf(stage.chance);
    const since = performance.now();
    const counts = (task.meta.counts = {
      'kills by SIGKILL': 0,
      'edits sent': 0,
      'edits acknowledged': 0,
      'acknowledged edits that were lost': 0,
    });
    await stage.whileTyping(async () => {
      for (let kills = 0; kills < KILLS; kills += 1) {
        const victim = pick(stage.servers.length);
        const frozen = elsewhere(victim, stage);
        const isFrozen = pick(2) === 0;
        await stage.firstAck();
        burst(stage.typists);
        if (isFrozen) stage.servers[frozen]?.signal('SIGSTOP');
        await stage.servers[victim]?.kill('SIGKILL');
        // Before anybody who has it may bring it, or write it.
        const { lost } = await stage.readStored();
        counts['kills by SIGKILL'] += 1;
        counts['edits sent'] = ledger.sentCount;
        counts['edits acknowledged'] = ledger.ackedCount;
        counts['acknowledged edits that were lost'] += lost.length;
        expect(lost).toEqual([]);
        const gone = isFrozen ? [victim, frozen] : [victim];
        const [there] = shuffled([0, 1, 2], pick).filter((place) => !gone.includes(place)) as [number];
        for (const place of gone) for (const typist of stage.peopleAt(place)) stage.move(typist, there);
        stage.someAreReplaced();
        await Promise.all([stage.startServer({}, victim), stage.firstAck()]);
        if (isFrozen) stage.servers[frozen]?.signal('SIGCONT');
        for (const typist of stage.typists)
          if (pick(2) === 0) stage.move(typist, pick(2) === 0 ? victim : frozen);
      }
    });
    await stage.settled();
    expect(ledger.waiting).toBe(0);
    await stage.allIsWell();
    counts['edits sent'] = ledger.sentCount;
    counts['edits acknowledged'] = ledger.ackedCount;
    task.meta.figures = [
      { what: 'edits sent, acknowledged', value: `${ledger.sentCount}, ${ledger.ackedCount}` },
      { what: 'ack, with its instance killed now and then', value: percentiles(ledger.waits(since)) },
    ];
  },
  scaled(90_000, 3_600_000),
);

test(
  `[N9] rolling restarts of three instances under typing lose nothing, and nobody waits longer than 5 s (SEED=${SEED})`,
  async ({ task }) => {
    const { stage } = await setScene(3, { isAlwaysOnline: true, drainMs: 300 });
    const since = performance.now();
    await stage.whileTyping(async () => {
      for (let restarts = 0; restarts < scaled(3, 60); restarts += 1) {
        const place = restarts % stage.servers.length;
        await stage.firstAck();
        // As a load balancer does that is told of a deployment: new lines go elsewhere, open ones end with their instance.
        const people = stage.peopleAt(place);
        for (const typist of people) stage.lead(typist, elsewhere(place, stage));
        expect(await stage.servers[place]?.kill('SIGTERM', 30_000)).toEqual({ code: 0, signal: null });
        await stage.nothingIsLost();
        await stage.startServer({}, place);
        for (const typist of people) stage.move(typist, place);
      }
    });
    await stage.settled();
    const waits = stage.ledger.waits(since);
    expect(Math.max(...waits)).toBeLessThan(5_000);
    task.meta.figures = [
      { what: 'ack, while instances are restarted one by one', value: percentiles(waits) },
    ];
    await stage.allIsWell();
  },
  scaled(60_000, 1_200_000),
);

/* Redis that is away, and messages that are lost. */

interface Loss {
  what: string;
  /** Begins under load, and holds when it has taken effect. */
  begin: (scene: Scene) => Promise<void>;
  /** Of what is no moment only. */
  end?: (scene: Scene) => Promise<void>;
}

/** Holds when an instance notices that it does not reach Redis. */
async function isNoticed({ stage }: Scene): Promise<void> {
  await readinessBecomes(stage.server.url, { status: 'degraded' });
}

/** What is cut off is some message or other, or a heartbeat. */
const CUT_BYTES = 2_000;
const TIMES = scaled(5, 100);
const THIN = { delayMs: 100, bytesPerSecond: 100_000 };

const LOSSES: Loss[] = [
  {
    what: 'Redis is killed and started again',
    begin: async (scene) => {
      await scene.redis.kill();
      await isNoticed(scene);
    },
    end: ({ redis }) => redis.start(),
  },
  {
    what: 'Redis is frozen',
    begin: async (scene) => {
      scene.redis.freeze();
      await isNoticed(scene);
    },
    end: async ({ redis }) => redis.thaw(),
  },
  ...(['up', 'down'] as const).map((direction): Loss => ({
    what: `what one instance ${direction === 'up' ? 'says' : 'hears'} goes into a black hole`,
    begin: async (scene) => {
      scene.toRedis[0]?.blackHole(direction);
      await isNoticed(scene);
    },
    // What it held comes late.
    end: async ({ toRedis }) => toRedis[0]?.heal(),
  })),
  {
    what: 'Redis is far away, by a thin line',
    begin: async ({ stage, toRedis }) => {
      for (const line of toRedis) line.slow(THIN);
      for (let acks = 0; acks < TIMES; acks += 1) await stage.firstAck();
    },
    end: async ({ toRedis }) => {
      for (const line of toRedis) line.heal();
    },
  },
  {
    what: 'lines to Redis are half closed, by either end',
    begin: async ({ stage, toRedis }) => {
      const pick = pickOf(stage.chance);
      for (let ends = 0; ends < TIMES; ends += 1) {
        toRedis[pick(toRedis.length)]?.halfClose(pick(2) === 0 ? 'up' : 'down');
        await stage.firstAck();
      }
    },
  },
  {
    what: 'lines to Redis are cut at any byte',
    begin: async ({ stage, toRedis }) => {
      const pick = pickOf(stage.chance);
      for (let cuts = 0; cuts < TIMES; cuts += 1) {
        const direction = pick(2) === 0 ? 'up' : 'down';
        await toRedis[pick(toRedis.length)]?.cutAfter(direction, pick(CUT_BYTES));
        await stage.firstAck();
      }
    },
  },
  {
    what: 'subscribers are cut off again and again',
    begin: async ({ stage, redis }) => {
      const admin = new Redis(redis.url);
      for (let kills = 0; kills < TIMES; kills += 1) {
        await admin.client('KILL', 'TYPE', 'pubsub');
        await stage.firstAck();
      }
      admin.disconnect();
    },
  },
];

test(
  `[N21] however Redis is away or loses messages under load, acks keep coming, and instances are the same soon after (SEED=${SEED})`,
  async ({ task }) => {
    const scene = await setScene(2);
    const { stage } = scene;
    for (const { what, begin, end } of LOSSES) {
      try {
        await stage.whileTyping(() => begin(scene));
        // While it lasts, everybody's.
        await stage.settled(10_000);
        expect(stage.ledger.waiting).toBe(0);
        await end?.(scene);
        await stage.agreed(CONVERGED_MS);
        await allReach(stage);
      } catch (cause) {
        throw new Error(`when ${what}`, { cause });
      }
    }
    const value = percentiles(stage.ledger.latencies());
    task.meta.figures = [{ what: 'ack, while Redis is away or loses messages', value }];
    await stage.allIsWell();
  },
  scaled(120_000, 900_000),
);

test(
  `[N22] instances with a Redis each, and people who move between them, lose nothing (SEED=${SEED})`,
  async () => {
    const [one, other] = [await startRedisServer(), await startRedisServer()];
    const { url: databaseUrl } = await createDatabase();
    const stage = await Stage.set({
      storage: { databaseUrl },
      documents: DOCUMENTS,
      servers: [one, other].map(({ url }) => ({ REDIS_URL: url })),
    });
    const pick = pickOf(stage.chance);
    await stage.whileTyping(async () => {
      for (let moves = 0; moves < scaled(30, 1_000); moves += 1) {
        await stage.firstAck();
        const typist = stage.typists[pick(stage.typists.length)] as Typist;
        typist.type();
        stage.move(typist, pick(2));
      }
    });
    // What is typed last nobody carries to the other instance: of each document somebody is at either.
    for (const [index, typist] of stage.typists.entries()) stage.move(typist, index % 2);
    await stage.settled();
    burst(stage.typists);
    await stage.settled();
    expect(stage.ledger.waiting).toBe(0);
    await stage.nothingIsLost();
    await stage.agreed(THROUGH_POSTGRES_MS);
    await stage.allIsWell();
  },
  scaled(60_000, 600_000),
);

/* People who change their instance before their edits are committed. */

/** Each way. */
const FAR = { delayMs: 50 };

/** What is typed at an instance that never commits it is everywhere; then its people come to others with it. */
async function leaveWithWhatIsNotCommitted({ stage, toPostgres }: Scene, place: number): Promise<void> {
  const people = stage.peopleAt(place);
  toPostgres[place]?.blackHole();
  burst(people);
  await stage.agreed(THROUGH_POSTGRES_MS);
  for (const typist of people) stage.move(typist, elsewhere(place, stage));
  while (people.some(({ isSettled }) => !isSettled)) {
    await stage.firstAck();
    await stage.nothingIsLost();
  }
  await stage.servers[place]?.kill('SIGKILL');
  toPostgres[place]?.reset();
  toPostgres[place]?.heal();
  await stage.startServer({}, place);
  for (const typist of people) stage.move(typist, place);
}

test(
  `[N23] who comes to another instance before an edit is committed is acknowledged when it is (SEED=${SEED})`,
  async () => {
    const scene = await setScene(3, { isAlwaysOnline: true });
    const { stage, toPostgres } = scene;
    const pick = pickOf(stage.chance);
    for (let rounds = 0; rounds < scaled(2, 60); rounds += 1) {
      await stage.settled();
      await leaveWithWhatIsNotCommitted(scene, rounds % stage.servers.length);
      for (const line of toPostgres) line.slow(FAR);
      for (let moves = 0; moves < 6; moves += 1) {
        const typist = stage.typists[pick(stage.typists.length)] as Typist;
        burst([typist]);
        stage.move(typist, pick(stage.servers.length));
        await stage.firstAck();
        await stage.nothingIsLost();
      }
      for (const line of toPostgres) line.heal();
    }
    await stage.settled();
    expect(stage.ledger.waiting).toBe(0);
    await stage.allIsWell();
  },
  scaled(60_000, 900_000),
);
