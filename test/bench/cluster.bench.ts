import { expect, test } from 'vitest';
import { connectHocuspocus } from '../helpers/clients.ts';
import { TEXT } from './documents.ts';
import { Loading } from './loading.ts';
import { CLUSTERED, Group } from './peers.ts';
import { median, percentile, short, spread, table } from './report.ts';
import { type Round, allOf, missing, playRound } from './round.ts';
import { CASE_MS, ROUNDS } from './rounds.ts';
import type { Workload } from './workload.ts';

type Clustered = (typeof CLUSTERED)[number];

const CPU = 'CPU of servers and Redis, µs per edit';

const ARRIVAL = 'arrival, p99, ms';
const BYTES = 'bytes through Redis per edit';
const KINDS = ['empty', 'large'] as const;
type Kind = (typeof KINDS)[number];

/** What is told of a round, in the order of the table. */
const FIGURES = {
  [CPU]: ({ use, all }) => (use.serverCpu + use.redisCpu) / all.sent,
  '– servers': ({ use, all }) => use.serverCpu / all.sent,
  '– Redis': ({ use, all }) => use.redisCpu / all.sent,
  'CPU of Postgres, µs per edit': ({ use, all }) => use.postgresCpu / all.sent,
  'arrival at the other instance, p50, ms': ({ all }) => percentile(all.arrivals, 0.5),
  [ARRIVAL]: ({ all }) => percentile(all.arrivals, 0.99),
  'ack, p50, ms': ({ all }) => percentile(all.acks, 0.5),
  'ack, p99, ms': ({ all }) => percentile(all.acks, 0.99),
  'publishes per edit': ({ use, all }) => use.publishes / all.sent,
  [BYTES]: ({ use, all }) => use.redisBytes / all.sent,
  'rows of the update log per edit': ({ use, all }) => use.rows / all.sent,
} satisfies Record<string, (round: Round) => number>;
type Figure = keyof typeof FIGURES;

test(
  '[J1] cluster: two instances, 50 documents, each with a writer at one and a reader at the other, 5 edits/s in each, 10 s',
  { timeout: CASE_MS },
  async ({ task }) => {
    const typing: Workload = { crowds: [{ documents: 50, people: 2, rate: 5 }], seconds: 10 };
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      for (const instances of [2, 1])
        for (const peer of CLUSTERED) rounds.push(await playRound(peer, typing, { instances }));
    expect(rounds.flatMap(missing)).toEqual([]);
    const rows = Object.entries(FIGURES).map(([what, figure]) => {
      const of = (peer: Clustered, instances: number) =>
        rounds.filter((round) => round.peer === peer && round.instances === instances).map(figure);
      const [ours, stock] = [of('ours', 2), of('stock', 2)];
      const ratio = short(median(ours) / median(stock));
      return [what, spread(ours), spread(stock), ratio, spread(of('ours', 1)), spread(of('stock', 1))];
    });
    const head = [`${ROUNDS} rounds`, 'ours', 'stock', 'ours / stock', 'ours, one instance', 'stock, one'];
    task.meta.report = table(head, rows);
  },
);

test(
  '[J2] cluster-size: 2, 4 and 6 instances, one document, a writer at one and a reader at each of the others, 5 edits/s, 10 s',
  { timeout: CASE_MS },
  async ({ task }) => {
    const counts = [2, 4, 6];
    const rounds: Round[] = [];
    for (const instances of counts)
      for (const kind of KINDS)
        for (const peer of CLUSTERED)
          rounds.push(await playRound(peer, typingInto(kind, instances), { instances }));
    expect(rounds.flatMap(missing)).toEqual([]);
    const of = (what: Figure, peer: Clustered, kind: Kind, count: number) => {
      const isIt = (round: Round) =>
        round.peer === peer && round.workload.crowds[0]?.content === kind && round.instances === count;
      return FIGURES[what](rounds.find(isIt) as Round);
    };
    // A keystroke, and the heartbeats beside it; a document that was sent along would be a hundred times as much.
    for (const count of counts)
      expect.soft(of(BYTES, 'ours', 'large', count) / of(BYTES, 'ours', 'empty', count)).toBeLessThan(2);
    const tables = ([BYTES, CPU, ARRIVAL] as const).map((what) => {
      const rows = counts.map((count) => {
        const [empty, stockEmpty] = [of(what, 'ours', 'empty', count), of(what, 'stock', 'empty', count)];
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

/** A writer at one instance and a reader at each of the others. */
function typingInto(content: Kind, instances: number): Workload {
  return { crowds: [{ documents: 1, people: instances, content, rate: 5 }], seconds: 10 };
}

test.for(CLUSTERED)(
  '[J3] what arrives at the clients of the load real providers have, too: %s, two instances',
  async (peer) => {
    const group = await Group.start(peer, { instances: 2 });
    const documents = 2;
    const loading = await Loading.start(group, { crowds: [{ documents, people: 2, rate: 20 }], seconds: 2 });
    await loading.warm();
    // The first one's writer is at the first instance, the second one's at the second.
    const providers = group.urls
      .toReversed()
      .map((url, index) => connectHocuspocus(url, `${loading.prefix}/0/${index}`));
    await Promise.all(providers.map((provider) => provider.synced()));
    const lengths = providers.map(({ doc }) => doc.getText(TEXT).length);
    const result = await loading.measured();
    expect(missing(result)).toEqual([]);
    const { sent } = allOf(result);
    await Promise.all(
      providers.map((provider, index) =>
        provider.sees((doc) => doc.getText(TEXT).length === (lengths[index] ?? 0) + sent / documents),
      ),
    );
  },
);
