/*
 * A process of its own that types at a given rate into documents of several instances, and watches the edits arrive at all others:
 *
 *     node test/bench/load.ts '{ "urls": […], … }'     (a Load, as JSON)
 *
 * It prints `warm` when all are in, have typed for a while, and have got everything. At SIGUSR2 it types what is measured, and
 * prints what it has seen of that, as JSON, when all of it has arrived. Then it stays, since leaving costs the servers something, too.
 */
import { once } from 'node:events';
import * as Y from 'yjs';
import { createSignal, until } from '../helpers/deadline.ts';
import { DOCUMENTS, type DocumentKind } from './documents.ts';
import { Room } from './room.ts';

/** What is to be typed. */
export interface Load {
  /**
   * Of the instances. Who writes a document is at one of them, in turn, and at each of the others is one who reads it; if there is
   * only one instance, both are there.
   */
  urls: string[];
  /** Names of documents begin with this. */
  prefix: string;
  documents: number;
  kind: DocumentKind;
  /** Edits a second in each document. */
  rate: number;
  seconds: number;
}

/** What is printed. */
export interface LoadResult {
  sent: number;
  /** Of each document. */
  readers: number;
  /** Milliseconds from the sending of each edit to its ack. */
  acks: number[];
  /** And to its arrival at each reader. */
  arrivals: number[];
}

/** Of the typing at the beginning, which is not measured: code is compiled. */
const WARM_UP_SECONDS = 3;
/** What has not arrived by then has been lost. */
const ARRIVAL_MS = 60_000;
const TICK_MS = 2;

const { urls, prefix, documents, kind, rate, seconds } = JSON.parse(process.argv[2] ?? '') as Load;
const content = Y.encodeStateAsUpdate(DOCUMENTS[kind]());
const settled = createSignal();
const rooms = Array.from({ length: documents }, (_, index) => {
  const writerUrl = urls[index % urls.length] ?? '';
  return new Room({
    document: `${prefix}/${index}`,
    writerUrl,
    readerUrls: urls.length === 1 ? urls : urls.filter((url) => url !== writerUrl),
    content,
    edits: rate * (WARM_UP_SECONDS + seconds),
    onSettled: settled.fire,
  });
});

const measuring = once(process, 'SIGUSR2');
await Promise.all(rooms.map((room) => room.open()));
await type(WARM_UP_SECONDS);
await arrived();
for (const room of rooms) room.measure();
process.stdout.write('warm\n');
await measuring;
await type(seconds);
await arrived();
const result: LoadResult = {
  sent: rooms.reduce((sum, { sent }) => sum + sent, 0),
  readers: Math.max(1, urls.length - 1),
  acks: rooms.flatMap(({ acks }) => acks),
  arrivals: rooms.flatMap(({ arrivals }) => arrivals),
};
process.stdout.write(`${JSON.stringify(result)}\n`);

/** Edits are due by the clock, however long others take. */
async function type(forSeconds: number): Promise<void> {
  const since = performance.now();
  const edits = rate * rooms.length * forSeconds;
  for (let typed = 0; typed < edits; await tick()) {
    const due = Math.min(edits, ((performance.now() - since) / 1000) * rate * rooms.length);
    for (; typed < due; typed += 1) rooms[typed % rooms.length]?.type();
  }
}

function arrived(): Promise<void> {
  return until({
    what: () => `edits in ${rooms.filter(({ isSettled }) => !isSettled).length} documents`,
    check: () => rooms.every(({ isSettled }) => isSettled),
    signal: settled,
    deadlineMs: ARRIVAL_MS,
  });
}

function tick(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
