import { PEERS, PEER_NAMES } from './peers.ts';
import { median, percentile, short, spread, table } from './report.ts';
import type { Seen } from './room.ts';
import type { Round } from './round.ts';
import { connectionsOf } from './workload.ts';

/** What a server has used, by the round; it is no number where that has no meaning. */
const COSTS: Record<string, (round: Round) => number> = {
  'CPU, µs per edit': ({ use, all }) => use.serverCpu / all.sent,
  'CPU, µs per delivered frame': ({ use, frames }) => use.serverCpu / frames,
  'CPU, ms per opening': ({ use, all }) => (all.sent > 0 ? NaN : use.serverCpu / 1000 / all.opens.length),
  'CPU, % of a processor': ({ use, workload }) =>
    workload.seconds === 0 ? NaN : use.serverCpu / use.time / 10,
  'CPU of Postgres, µs per edit': ({ peer, use, all }) =>
    PEERS[peer].isOnPostgres ? use.postgresCpu / all.sent : NaN,
  'memory, MB': ({ resident }) => resident.after / 2 ** 20,
  // Where there is something else to remember it is no measure.
  'memory of a connection, KB': ({ resident, workload, all }) =>
    all.sent + all.opens.length > 0
      ? NaN
      : (resident.after - resident.before) / 1024 / connectionsOf(workload),
  'bytes of Postgres’s log per edit': ({ peer, wal, all }) =>
    PEERS[peer].isOnPostgres ? wal / all.sent : NaN,
  'frames delivered, a second': ({ use, frames }) => frames / (use.time / 1000),
  'connections lost': ({ cuts }) => cuts,
  'the load was late, max, ms': ({ late }) => percentile(late, 1),
};

/** What people have seen, by the crowd. */
const SIGHTS: Record<string, (seen: Seen) => number> = {
  'edit, p50, ms': ({ arrivals }) => percentile(arrivals, 0.5),
  'edit, p95, ms': ({ arrivals }) => percentile(arrivals, 0.95),
  'edit, p99, ms': ({ arrivals }) => percentile(arrivals, 0.99),
  'edit, max, ms': ({ arrivals }) => percentile(arrivals, 1),
  'edits undelivered': ({ sent, undelivered }) => (sent === 0 ? NaN : undelivered),
  'ack, p50, ms': ({ acks }) => percentile(acks, 0.5),
  'ack, p99, ms': ({ acks }) => percentile(acks, 0.99),
  'open, p50, ms': ({ opens }) => percentile(opens, 0.5),
  'open, max, ms': ({ opens }) => percentile(opens, 1),
  'cursor, p50, ms': ({ moves }) => percentile(moves, 0.5),
  'cursor, p99, ms': ({ moves }) => percentile(moves, 0.99),
  'cursors left behind': ({ moves, stale }) => (moves.length + stale === 0 ? NaN : stale),
};

const HEAD = ['', ...PEER_NAMES, ...PEER_NAMES.slice(1).map((peer) => `ours / ${peer}`)];

/** All that has been measured in a case, each figure in a row; those that nobody has are left out. */
export function figuresOf(rounds: readonly Round[]): string {
  const crowds = rounds[0]?.workload.crowds ?? [];
  const sights = crowds.flatMap(({ name }, crowd) =>
    Object.entries(SIGHTS).map(([what, sight]) =>
      rowOf(name === undefined ? what : `${name}: ${what}`, rounds, ({ seen }) => {
        const ofCrowd = seen[crowd];
        return ofCrowd === undefined ? NaN : sight(ofCrowd);
      }),
    ),
  );
  const costs = Object.entries(COSTS).map(([what, cost]) => rowOf(what, rounds, cost));
  return table(HEAD, [...costs, ...sights].flat());
}

function rowOf(what: string, rounds: readonly Round[], figure: (round: Round) => number): string[][] {
  const numbers = PEER_NAMES.map((peer) => rounds.filter((round) => round.peer === peer).map(figure));
  if (!numbers.flat().some(Number.isFinite)) return [];
  const [ours = NaN, ...others] = numbers.map(median);
  return [[what, ...numbers.map(spread), ...others.map((other) => short(ours / other))]];
}
