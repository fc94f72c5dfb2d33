import { Awareness, applyAwarenessUpdate } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { mintToken } from '../../server/auth/tokens.ts';
import type { ServerOptions } from '../../server/index.ts';
import { atTestEnd } from './cleanup.ts';
import { createSignal, until } from './deadline.ts';
import type { Protocol } from './editor.ts';
import { type RawClient, rawHocuspocus, rawYWebsocket } from './raw-client.ts';
import { startServer } from './server.ts';
import { type State, decodeStates, encodeStates } from './states.ts';

export { encodeStates };

/** What happens at once happens in this time: far less than the 30 s after which clients drop a silent state. */
export const AT_ONCE_MS = 2_000;

/** A raw client that says exactly what a test has it say, and sees what an ordinary client would see. */
export interface Person {
  client: RawClient;
  /** Says one state; `null` is leaving. */
  says(id: number, clock: number, state: unknown): void;
  saysAll(states: State[]): void;
  /** Asks for everybody's state. A y-websocket client gets none before its first frame. */
  asks(): void;
  /** Everybody's state, as it sees it. */
  view(): Record<string, unknown>;
  sees(check: (view: Record<string, unknown>) => boolean, deadlineMs?: number): Promise<void>;
  /** Every state that it has been sent, in order. */
  heard(): State[];
  /** Holds when `others` have been sent everything that follows from what it has said. */
  isHeardBy(...others: Person[]): Promise<void>;
}

/** Ids by which people make themselves heard; tests take small ones. */
let nextMark = 1_000_000;

/** @param token - of the client, if any */
export async function joinPresence(
  protocol: Protocol,
  url: string,
  name: string,
  token?: string,
): Promise<Person> {
  const client = await connect(protocol, url, name, token);
  const awareness = createView();
  const changed = createSignal();
  client.socket.on('message', () => {
    const frame = client.frames.at(-1);
    if (frame?.type === 'awareness') applyAwarenessUpdate(awareness, frame.update, 'server');
    changed.fire();
  });
  const mark = (nextMark += 1);
  let marks = 0;
  const saysAll = (states: State[]) => client.send({ type: 'awareness', update: encodeStates(states) }, name);
  const person: Person = {
    client,
    saysAll,
    says: (id, clock, state) => saysAll([{ id, clock, state }]),
    asks: () => client.send({ type: 'query-awareness' }, name),
    view: () =>
      Object.fromEntries([...awareness.getStates()].filter(([id]) => id < 1_000_000 || id > nextMark)),
    sees: (check, deadlineMs = AT_ONCE_MS) =>
      until({
        what: () =>
          `the presence that is waited for (it sees ${JSON.stringify(person.view()).slice(0, 500)})`,
        check: () => check(person.view()),
        signal: changed,
        deadlineMs,
      }),
    heard: () =>
      client.frames.flatMap((frame) => (frame.type === 'awareness' ? decodeStates(frame.update) : [])),
    async isHeardBy(...others) {
      marks += 1;
      const count = marks;
      person.says(mark, count, { mark: count });
      for (const other of others) {
        const hasMark = () => other.heard().some(({ id, clock }) => id === mark && clock >= count);
        await other.sees(hasMark, 10_000);
      }
    },
  };
  return person;
}

async function connect(protocol: Protocol, url: string, name: string, token?: string): Promise<RawClient> {
  if (protocol === 'y-websocket') {
    const query = token === undefined ? '' : `?token=${encodeURIComponent(token)}`;
    return rawYWebsocket(`${url}/${name}${query}`);
  }
  const client = await rawHocuspocus(url);
  client.send({ type: 'token', token: token ?? '' }, name);
  await client.next('authenticated');
  return client;
}

/** Presence as y-protocols keeps it, without a state of its own. */
function createView(): Awareness {
  const awareness = new Awareness(new Y.Doc());
  awareness.setLocalState(null);
  atTestEnd(() => awareness.destroy());
  return awareness;
}

/** The document in which they meet. */
export const ROOM = 'presence/room';

/** A server, somebody who only looks, and joining. */
export async function openRoom(protocol: Protocol, options: ServerOptions = {}) {
  const { url } = await startServer(options);
  const join = (token?: string) => joinPresence(protocol, url, ROOM, token);
  const tokenOf = (sub: string) => mintToken(options.jwtSecret ?? '', { sub, access: { '**': 'write' } }, 60);
  const watcher = await join(options.jwtSecret === undefined ? undefined : await tokenOf('watcher'));
  watcher.asks();
  return { url, join, joinAs: async (sub: string) => join(await tokenOf(sub)), watcher };
}

/** What somebody saw of one id, in order. */
export function history(person: Person, id: number): unknown[] {
  return person
    .heard()
    .filter((state) => state.id === id)
    .map(({ state }) => state);
}
