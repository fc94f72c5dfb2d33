/*
 * A process of its own that is a crowd: its people come into documents, type and move cursors at given rates, and watch what arrives.
 *
 *     node test/bench/load.ts '{ "urls": […], … }'     (a Load, as JSON)
 *
 * It prints `filled` when the documents hold what they are to hold. At SIGUSR2 people come in and type, and it prints `warm` when
 * they have got everything. At SIGUSR2 it does what is measured, and prints what it has seen of that, as JSON, when all of it has
 * arrived. Then it stays, since leaving costs the servers something, too.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dialect } from '../helpers/frames.ts';
import { createSignal, until } from '../helpers/deadline.ts';
import type { Seen } from './room.ts';
import { Rooms } from './rooms.ts';
import { type Crowd, type Workload, editsOf, warmUpOf } from './workload.ts';

export interface Load extends Omit<Workload, 'crowds'> {
  crowd: Crowd;
  /** Of the instances. */
  urls: string[];
  dialect: Dialect;
  hasAcks: boolean;
  /** Names of documents begin with this. */
  prefix: string;
  /** Addresses that its people come from begin with this. */
  network: string;
}

/** What is printed. */
export interface LoadResult {
  seen: Seen;
  /** That have come to all people. */
  frames: number;
  /** Connections that the server has closed. */
  cuts: number;
  /** By how many milliseconds the load itself was late with what was due. */
  late: number[];
}

/** What has not arrived by then has been lost. */
const ARRIVAL_MS = 30_000;

const load = JSON.parse(process.argv[2] ?? '') as Load;
const { crowd, seconds, urls, dialect, hasAcks, prefix, network } = load;
const settled = createSignal();
const edits = editsOf(crowd, load);
const rooms = new Rooms({ crowd, edits, urls, dialect, hasAcks, prefix, network, onSettled: settled.fire });

// It stays when it has no connection.
setInterval(() => {}, 60_000);
await rooms.fill();
await stopAt('filled');
if (!rooms.isLate) {
  await rooms.enter();
  const warmUp = warmUpOf(load);
  await rooms.play(warmUp.seconds, warmUp.rate);
  await arrived();
}
rooms.measure();
await stopAt('warm');
if (rooms.isLate) await rooms.enter();
// Where nobody types silence is measured.
const [late] = await Promise.all([rooms.play(seconds), sleep(seconds * 1000)]);
await arrived();
const { seen, frames, cuts } = rooms;
const result: LoadResult = { seen, frames, cuts, late };
process.stdout.write(`${JSON.stringify(result, toMicroseconds)}\n`);

async function stopAt(word: string): Promise<void> {
  const signal = once(process, 'SIGUSR2');
  process.stdout.write(`${word}\n`);
  await signal;
}

/** Holds when everything has arrived, or has been lost. */
async function arrived(): Promise<void> {
  const waiting = until({
    what: () => 'everything',
    check: () => rooms.isSettled,
    signal: settled,
    deadlineMs: ARRIVAL_MS,
  });
  // What is missing then the result says.
  await waiting.catch(() => {});
}

/** More digits would be most of what is printed. */
function toMicroseconds(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
}
