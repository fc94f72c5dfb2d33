import { PEERS, PEER_NAMES, type PeerName } from './peers.ts';
import type { Workload } from './workload.ts';

/** Something that a server is measured at. */
export interface Case {
  name: string;
  /** The workload in words. */
  says: string;
  /** What was aimed at, as ratios to stock in the same run. */
  aim: string;
  workload: Workload;
  /** Those to which it can be put; all when left out. */
  peers?: readonly PeerName[];
  /** One round, in a run of several: it takes long, and varies little. */
  isOnce?: true;
  /** Processes of the server, if more than one. */
  workers?: number;
}

/** Those that keep what they are given. */
const STORING = ['ours', 'stock', 'y-websocket'] as const satisfies PeerName[];
export const ON_POSTGRES = PEER_NAMES.filter((peer) => PEERS[peer].isOnPostgres);

const PAIR = { people: 2, rate: 20 };

export const CASES: readonly Case[] = [
  {
    name: 'pairs',
    says: '200 documents × 2 people, one types 20/s',
    aim: 'CPU ≤ 0.65',
    workload: { crowds: [{ ...PAIR, documents: 200 }], seconds: 10 },
  },
  {
    name: 'pairs-slow',
    says: '200 documents × 2 people, one types 5/s',
    aim: 'CPU ≤ 1',
    workload: { crowds: [{ ...PAIR, documents: 200, rate: 5 }], seconds: 10 },
  },
  {
    name: 'room',
    says: '1 document × 200 people, ten type 5/s and move cursors',
    aim: 'CPU ≤ 0.5',
    workload: {
      crowds: [{ documents: 1, people: 200, writers: 10, rate: 5, movers: 10, moves: 5 }],
      seconds: 10,
    },
  },
  {
    name: 'stadium',
    says: '1 document × 1,000 people, one types 10/s',
    aim: 'CPU ≤ 0.8; p99 within 1.1 of the floor',
    workload: { crowds: [{ documents: 1, people: 1_000, rate: 10 }], seconds: 10 },
  },
  {
    name: 'presence',
    says: '1 document × 50 people, all move cursors 4/s, one types 5/s',
    aim: 'CPU ≤ 0.2',
    workload: { crowds: [{ documents: 1, people: 50, rate: 5, movers: 50, moves: 4 }], seconds: 10 },
  },
  {
    name: 'presence-500',
    says: '1 document × 500 people, all move a cursor once a second, one types 50/s',
    aim: 'CPU ≤ 0.3, p95 ≤ 1, nothing undelivered',
    workload: { crowds: [{ documents: 1, people: 500, rate: 50, movers: 500, moves: 1 }], seconds: 8 },
  },
  {
    name: 'presence-flood',
    says: '1 document × 500 people, all move a cursor every 20 ms, one types 50 edits at 50/s, and then 20 that are measured at 5/s',
    aim: 'p95 < 50 ms, nothing undelivered; presence may thin out, never stall',
    workload: {
      crowds: [{ documents: 1, people: 500, rate: 5, movers: 500, moves: 50 }],
      warmUp: { seconds: 1, rate: 50 },
      seconds: 4,
    },
    isOnce: true,
  },
  {
    name: 'agent',
    says: '1 document × 2 people, one sends 1,000 edits at once, twice a second',
    aim: 'CPU ≤ 0.5',
    workload: { crowds: [{ documents: 1, people: 2, rate: 2, burst: 1_000 }], seconds: 10 },
  },
  {
    name: 'writes',
    says: '1 document of 311 KB × 2 people, one types 20/s for half a minute',
    aim: 'bytes of Postgres’s log ≤ 1',
    workload: { crowds: [{ ...PAIR, documents: 1, content: 'article' }], seconds: 30 },
    peers: ON_POSTGRES,
    isOnce: true,
  },
  {
    name: 'idle',
    says: '2,500 documents × 2 people, who do nothing for 10 s',
    aim: 'memory of a connection ≤ 0.6',
    workload: { crowds: [{ documents: 2_500, people: 2 }], seconds: 10 },
    isOnce: true,
  },
  {
    name: 'idle-18000',
    says: '9,000 documents × 2 people, who do nothing for 10 s',
    aim: 'one process has them all',
    workload: { crowds: [{ documents: 9_000, people: 2 }], seconds: 10 },
    isOnce: true,
    peers: ['ours'],
  },
  {
    name: 'idle-36000',
    says: '18,000 documents × 2 people, who do nothing for 10 s, at two processes (`WORKERS=2`)',
    aim: 'two processes have them all',
    workload: { crowds: [{ documents: 18_000, people: 2 }], seconds: 10, processes: 2 },
    isOnce: true,
    peers: ['ours'],
    workers: 2,
  },
  {
    name: 'join',
    says: '150 people open one document of 311 KB at once, in which nobody was',
    aim: 'opening ≤ 0.33',
    workload: {
      crowds: [{ documents: 1, people: 150, content: 'article', isLate: true }],
      seconds: 0,
    },
  },
  {
    name: 'cold',
    says: 'somebody opens a document of 260,000 edits after a restart; all of it was stored',
    aim: 'opening ≤ 1',
    workload: {
      crowds: [{ documents: 1, people: 1, content: 'paper', isLate: true }],
      seconds: 0,
      restart: 'SIGTERM',
    },
    peers: STORING,
  },
  {
    name: 'cold-unfolded',
    says: 'the same after a SIGKILL; the last 10,000 edits are rows of the log',
    aim: 'opening < 300 ms',
    workload: {
      crowds: [{ documents: 1, people: 1, content: 'paper', isLate: true }],
      seconds: 0,
      restart: 'SIGKILL',
      isUnfolded: true,
    },
    peers: ['ours'],
  },
  {
    name: 'big',
    says: '20 people open a document of 20 MB at once after a restart, and one types 5/s; beside, 20 documents × 2 people, one types 10/s',
    aim: 'no edit of the others waits over 50 ms',
    workload: {
      crowds: [
        { name: 'the others', documents: 20, people: 2, rate: 10 },
        { name: '20 MB', documents: 1, people: 20, content: 'book', rate: 5, isLate: true },
      ],
      seconds: 10,
      restart: 'SIGTERM',
    },
    peers: STORING,
    isOnce: true,
  },
];

export function peersOf({ peers }: Case): readonly PeerName[] {
  return peers ?? PEER_NAMES;
}
