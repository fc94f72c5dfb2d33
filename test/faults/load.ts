/*
 * A process of its own that types at a given rate into many documents, and prints how long the acks took:
 *
 *     node test/faults/load.ts <url> <edits a second> <seconds>
 */
import { WebSocket } from 'ws';
import * as Y from 'yjs';
import { decodeFrame, encodeFrame } from '../helpers/frames.ts';
import { percentiles } from './figures.ts';

/** In each of which one types and one reads. */
const DOCUMENTS = 100;
const TICK_MS = 5;
/** Of the typing at the beginning, which is not measured: documents are opened, and code is compiled. */
const WARM_UP_SECONDS = 3;

/** What is printed, as JSON. */
export interface LoadResult {
  sent: number;
  /** Acks that say that an edit is saved. */
  saved: number;
  /** As they were sent. */
  perSecond: number;
  /** From sending each edit to its ack, in words; and from when it was due, which is before that where the load is late. */
  fromSending: string;
  fromBeingDue: string;
}

const [url = '', rate = '', seconds = ''] = process.argv.slice(2);

const typists = await Promise.all(Array.from({ length: DOCUMENTS }, (_, index) => join(index)));
await type(WARM_UP_SECONDS);
await acked();
for (const typist of typists) typist.acks.length = typist.sent = 0;
const took = await type(Number(seconds));
await acked();
const acks = typists.flatMap((typist) => typist.acks);
const sent = typists.reduce((sum, typist) => sum + typist.sent, 0);
const result: LoadResult = {
  sent,
  saved: acks.filter(({ isSaved }) => isSaved).length,
  perSecond: sent / (took / 1000),
  fromSending: percentiles(acks.map(({ sentAt, ackedAt }) => ackedAt - sentAt)),
  fromBeingDue: percentiles(acks.map(({ dueAt, ackedAt }) => ackedAt - dueAt)),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
for (const { sockets } of typists) for (const socket of sockets) socket.terminate();

/** Edits are due by the clock, however long the acks take. @returns how many milliseconds it took to send them */
async function type(forSeconds: number): Promise<number> {
  const since = performance.now();
  const edits = Number(rate) * forSeconds;
  for (let typed = 0; typed < edits; await tick()) {
    const due = Math.min(edits, ((performance.now() - since) / 1000) * Number(rate));
    for (; typed < due; typed += 1) typists[typed % DOCUMENTS]?.type(since + (typed / Number(rate)) * 1000);
  }
  return performance.now() - since;
}

async function acked(): Promise<void> {
  while (typists.some(({ waiting }) => waiting.length > 0)) await tick();
}

function tick(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}

async function join(index: number) {
  const name = `load/${process.pid}/${index}`;
  const doc = new Y.Doc();
  const text = doc.getText('content');
  const waiting: { dueAt: number; sentAt: number }[] = [];
  const sockets = await Promise.all([connect(name), connect(name)]);
  const [socket] = sockets;
  const typist = {
    sockets,
    waiting,
    acks: [] as { dueAt: number; sentAt: number; ackedAt: number; isSaved: boolean }[],
    sent: 0,
    type(dueAt: number) {
      waiting.push({ dueAt, sentAt: performance.now() });
      text.insert(text.length, 'x');
      typist.sent += 1;
    },
  };
  doc.on('update', (update: Uint8Array) =>
    socket.send(encodeFrame('hocuspocus', { type: 'update', update }, name)),
  );
  socket.on('message', (data: Buffer) => {
    const frame = decodeFrame('hocuspocus', data);
    const first = frame.type === 'sync-status' ? waiting.shift() : undefined;
    if (frame.type !== 'sync-status' || first === undefined) return;
    typist.acks.push({ ...first, ackedAt: performance.now(), isSaved: frame.saved });
  });
  return typist;
}

async function connect(name: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('open', () => {
    socket.send(encodeFrame('hocuspocus', { type: 'token', token: '' }, name));
    socket.send(
      encodeFrame('hocuspocus', { type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, name),
    );
  });
  socket.on('message', (data: Buffer) => {
    if (decodeFrame('hocuspocus', data).type === 'step2') resolve();
  });
  socket.on('error', reject);
  await promise;
  return socket;
}
