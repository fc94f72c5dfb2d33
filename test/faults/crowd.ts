/*
 * Many clients of both protocols, in a process of their own, so that they keep nobody else from typing: in each of some
 * documents as many, each with an edit of its own for every connection, and presence.
 *
 *   node test/faults/crowd.ts URL COUNT DOCUMENTS
 *
 * It prints `in` when all are served, `away` when all have lost their connections. At SIGUSR2 all come back within 200 ms,
 * as providers do; it prints `back` when the last one is served, with how many attempts failed. Served is who has been told
 * what the document holds, and whose edit is acknowledged.
 */
import { WebSocket } from 'ws';
import * as Y from 'yjs';
import { type Dialect, type Frame, type Received, decodeFrame, encodeFrame } from '../helpers/frames.ts';
import { encodeStates } from '../helpers/states.ts';

/** Providers that lose one server come back within this time of each other. */
const SPREAD_MS = 200;
/** Until the next attempt of whom the server did not take. */
const RETRY_MS = 500;
/** At first they come one after the other. */
const FIRST_MS = 0.5;

const [url = '', count = '', documents = ''] = process.argv.slice(2);
const address = url.replace(/^http/, 'ws');

class Member {
  readonly #dialect: Dialect;
  readonly #document: string;
  readonly #index: number;
  readonly #doc = new Y.Doc();
  readonly #onServed: () => void;
  readonly #onAway: (wasServed: boolean) => void;
  #socket: WebSocket | undefined;
  #edits = 0;
  #isTold = false;
  #isAcked = false;

  constructor(index: number, onServed: () => void, onAway: (wasServed: boolean) => void) {
    this.#dialect = index % 2 === 0 ? 'y-websocket' : 'hocuspocus';
    this.#document = `crowd/${(index >> 1) % Number(documents)}`;
    this.#index = index;
    this.#onServed = onServed;
    this.#onAway = onAway;
  }

  connect(): void {
    // Typed while it was away, so that its answer to the server brings it.
    this.#doc.getMap('crowd').set(`${this.#index}.${(this.#edits += 1)}`, true);
    this.#isTold = this.#isAcked = false;
    const path = this.#dialect === 'y-websocket' ? `/${encodeURIComponent(this.#document)}?acks=1` : '';
    const socket = new WebSocket(`${address}${path}`);
    this.#socket = socket;
    socket.on('open', () => {
      if (this.#dialect === 'y-websocket') this.#introduce();
      else this.#send({ type: 'token', token: '' });
    });
    socket.on('message', (data: Buffer) => this.#receive(decodeFrame(this.#dialect, new Uint8Array(data))));
    // `close` follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#onAway(this.#isServed));
  }

  #introduce(): void {
    this.#send({ type: 'step1', stateVector: Y.encodeStateVector(this.#doc) });
    const state = { id: this.#doc.clientID, clock: this.#edits, state: { member: this.#index } };
    this.#send({ type: 'awareness', update: encodeStates([state]) });
  }

  #receive(frame: Received): void {
    const wasServed = this.#isServed;
    if (frame.type === 'authenticated') this.#introduce();
    if (frame.type === 'step1')
      this.#send({ type: 'step2', update: Y.encodeStateAsUpdate(this.#doc, frame.stateVector) });
    if (frame.type === 'step2') this.#isTold = true;
    if (frame.type === 'sync-status') this.#isAcked ||= frame.saved;
    if (this.#isServed && !wasServed) this.#onServed();
  }

  get #isServed(): boolean {
    return this.#isTold && this.#isAcked;
  }

  #send(frame: Frame): void {
    this.#socket?.send(encodeFrame(this.#dialect, frame, this.#document));
  }
}

let served = 0;
let failed = 0;
let isStaying = false;
let say = 'in';
const onServed = () => {
  served += 1;
  if (served === members.length) process.stdout.write(`${say} ${failed}\n`);
};
const onAway = (member: Member, wasServed: boolean) => {
  if (wasServed) served -= 1;
  else failed += 1;
  if (!wasServed || isStaying) setTimeout(() => member.connect(), RETRY_MS);
  else if (served === 0) process.stdout.write('away\n');
};
const members: Member[] = Array.from({ length: Number(count) }, (_, index) => {
  const member: Member = new Member(index, onServed, (wasServed) => onAway(member, wasServed));
  return member;
});
// It stays when all have lost their connections.
setInterval(() => {}, 60_000);
process.on('SIGUSR2', () => {
  isStaying = true;
  say = 'back';
  failed = 0;
  for (const member of members) setTimeout(() => member.connect(), Math.random() * SPREAD_MS);
});
for (const [index, member] of members.entries()) setTimeout(() => member.connect(), index * FIRST_MS);
