import { expect, inject, test } from 'vitest';
import { Redis } from 'ioredis';
import { connectHocuspocus } from '../helpers/clients.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { queryOnce } from '../helpers/postgres.ts';
import { DOCUMENTS, TEXT, type DocumentKind } from './documents.ts';
import type { Load } from './load.ts';
import { PEER_NAMES, type PeerName, startGroup } from './peers.ts';
import { median, percentile, short, spread, table } from './report.ts';
import { type Round, measured, playRound, startLoad } from './round.ts';

/** Of which the one in the middle counts. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const CASE_MS = 30 * 60_000;

type Typing = Omit<Load, 'urls' | 'prefix'>;

const CPU = 'CPU of servers and Redis, µs per edit';

const ARRIVAL = 'arrival, p99, ms';
const BYTES = 'bytes through Redis per edit';
const KINDS = Object.keys(DOCUMENTS) as DocumentKind[];

/** What is told of a round, in the order of the table. */
const FIGURES = {
  [CPU]: ({ use, sent }) => (use.serverCpu + use.redisCpu) / sent,
  '– servers': ({ use, sent }) => use.serverCpu / sent,
  '– Redis': ({ use, sent }) => use.redisCpu / sent,
  'CPU of Postgres, µs per edit': ({ use, sent }) => use.postgresCpu / sent,
  'arrival at the other instance, p50, ms': ({ arrivals }) => percentile(arrivals, 0.5),
  [ARRIVAL]: ({ arrivals }) => percentile(arrivals, 0.99),
  'ack, p50, ms': ({ acks }) => percentile(acks, 0.5),
  'ack, p99, ms': ({ acks }) => percentile(acks, 0.99),
  'publishes per edit': ({ use, sent }) => use.publishes / sent,
  [BYTES]: ({ use, sent }) => use.redisBytes / sent,
  'rows of the update log per edit': ({ use, sent }) => use.rows / sent,
} satisfies Record<string, (round: Round) => number>;
type Figure = keyof typeof FIGURES;

test(
  '[J1] two instances, 50 documents, each with a writer at one and a reader at the other, 5 edits/s in each, 10 s',
  { timeout: CASE_MS },
  async ({ task }) => {
    const typing: Typing = { documents: 50, kind: 'small', rate: 5, seconds: 10 };
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      for (const instances of [2, 1])
        for (const peer of PEER_NAMES) rounds.push(await playRound(peer, instances, typing));
    expect(rounds.every(hasArrived)).toBe(true);
    const rows = Object.entries(FIGURES).map(([what, figure]) => {
      const of = (peer: PeerName, instances: number) =>
        rounds.filter((round) => round.peer === peer && round.instances === instances).map(figure);
      const [ours, stock] = [of('ours', 2), of('stock', 2)];
      const ratio = short(median(ours) / median(stock));
      return [what, spread(ours), spread(stock), ratio, spread(of('ours', 1)), spread(of('stock', 1))];
    });
    const head = [`${ROUNDS} rounds`, 'ours', 'stock', 'ours / stock', 'ours, one instance', 'stock, one'];
    task.meta.versions = await versions();
    task.meta.report = table(head, rows);
  },
);

test(
  '[J2] 2, 4 and 6 instances, one document, a writer at one and a reader at each of the others, 5 edits/s, 10 s',
  { timeout: CASE_MS },
  async ({ task }) => {
    const typing = { documents: 1, rate: 5, seconds: 10 };
    const counts = [2, 4, 6];
    const rounds: Round[] = [];
    for (const instances of counts)
      for (const kind of KINDS)
        for (const peer of PEER_NAMES) rounds.push(await playRound(peer, instances, { ...typing, kind }));
    expect(rounds.every(hasArrived)).toBe(true);
    const of = (what: Figure, peer: PeerName, kind: DocumentKind, count: number) => {
      const isIt = (round: Round) => round.peer === peer && round.kind === kind && round.instances === count;
      return FIGURES[what](rounds.find(isIt) as Round);
    };
    // A keystroke, and the heartbeats beside it; a document that was sent along would be a hundred times as much.
    for (const count of counts)
      expect.soft(of(BYTES, 'ours', 'large', count) / of(BYTES, 'ours', 'small', count)).toBeLessThan(2);
    const tables = ([BYTES, CPU, ARRIVAL] as const).map((what) => {
      const rows = counts.map((count) => {
        const [empty, stockEmpty] = [of(what, 'ours', 'small', count), of(what, 'stock', 'small', count)];
        const [large, stockLarge] = [of(what, 'ours', 'large', count), of(what, 'stock', 'large', count)];
        const [growth, stockGrowth] = [large / empty, stockLarge / stockEmpty];
        const numbers = [empty, large, growth, stockEmpty, stockLarge, stockGrowth, large / stockLarge];
        return [`${count} instances`].concat(numbers.map(short));
      });
      const head = [what, 'ours: empty', 'ours: large', 'large / empty'];
      const stockHead = ['stock: empty', 'stock: large', 'large / empty', 'large: ours / stock'];
      return table(head.concat(stockHead), rows);
    });
    task.meta.report = tables.join('\n\n');
  },
);

/** Nothing was measured otherwise. */
function hasArrived({ sent, readers, acks, arrivals }: Round): boolean {
  return acks.length === sent && arrivals.length === sent * readers;
}

test.for(PEER_NAMES)(
  '[J3] what arrives at the clients of the load real providers have, too: %s',
  async (peer) => {
    const { instances } = await startGroup(peer, 2);
    const urls = instances.map(({ url }) => url);
    const load: Load = { urls, prefix: 'bench/real', documents: 2, kind: 'small', rate: 20, seconds: 2 };
    // The first one's writer is at the first instance, the second one's at the second.
    const providers = urls
      .toReversed()
      .map((url, index) => connectHocuspocus(url, `${load.prefix}/${index}`));
    await Promise.all(providers.map((provider) => provider.synced()));
    const loading = await startLoad(load);
    await loading.line(/^warm$/);
    const lengths = providers.map(({ doc }) => doc.getText(TEXT).length);
    const { sent, arrivals } = await measured(loading);
    expect(arrivals).toHaveLength(sent);
    await Promise.all(
      providers.map((provider, index) =>
        provider.sees((doc) => doc.getText(TEXT).length === (lengths[index] ?? 0) + sent / load.documents),
      ),
    );
  },
);

async function versions(): Promise<string> {
  const redis = new Redis(inject('redisUrl'));
  atTestEnd(() => redis.disconnect());
  const [, redisVersion = ''] = /redis_version:(\S+)/.exec(await redis.info('server')) ?? [];
  const [postgres] = await queryOnce<{ server_version: string }>(
    inject('postgresUrl'),
    'show server_version',
  );
  return `Redis ${redisVersion}; Postgres ${postgres?.server_version ?? ''}, fsync on.`;
}
