import { Document, type Connection } from '@hocuspocus/server';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { removeAwarenessStates } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { OpenDocument } from '../../server/documents/open-document.ts';
import { outgoing } from '../../server/documents/outgoing.ts';
import { checkUpdate } from '../../server/documents/update-check.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { textOf, typist } from '../helpers/editor.ts';
import { decodeFrame } from '../helpers/frames.ts';
import { pickOf, randomOf } from '../helpers/random.ts';
import { type State, decodeStates } from '../helpers/states.ts';

const ROOM = 'broadcast/room';
/** So many that edits of several wait as long as they ever do. */
const PEOPLE = 200;
const WINDOW_MS = 30;

/** Somebody who is connected, as far as a broadcast sees. */
interface Listener {
  readonly connection: Connection;
  /** Edits that it was sent, put together, in order. */
  readonly updates: Uint8Array[];
  /** Presence that it was sent, by frames. */
  readonly said: State[][];
  /** What kinds of frames it was sent, and whether each had company. */
  readonly frames: { type: string; isMoreComing: boolean }[];
  /** Called when it is sent something. */
  onFrame(): void;
}

function openRoom(people = PEOPLE) {
  const document = new Document(ROOM);
  atTestEnd(() => document.destroy());
  const open = new OpenDocument(document, null, {
    onUpdate() {},
    onPresence() {},
    onEncoded() {},
    limits: { documentBytes: 1e8, pendingBytes: 1e8, presence: { ids: 1, bytes: 1e3 } },
  });
  const listeners = Array.from({ length: people }, () => listen(document));
  const apply = (update: Uint8Array, connection?: Connection) => {
    const shape = checkUpdate(update, { structs: 10_000, clients: 100 });
    const source = connection === undefined ? 'redis' : 'connection';
    open.apply(open.weigh(update, shape), { source, ...(connection && { connection }) });
  };
  const [anna, ben, cleo] = listeners as [Listener, Listener, Listener];
  return { document, apply, everybody: listeners, anna, ben, cleo };
}

function listen(document: Document): Listener {
  const listener: Listener = {
    connection: {
      messageAddress: ROOM,
      send(bytes: Uint8Array) {
        const frame = decodeFrame('hocuspocus', bytes);
        listener.frames.push({ type: frame.type, isMoreComing: outgoing.isMoreComing });
        if (frame.type === 'update') listener.updates.push(frame.update);
        if (frame.type === 'awareness') listener.said.push(decodeStates(frame.update));
        listener.onFrame();
      },
    } as unknown as Connection,
    updates: [],
    said: [],
    frames: [],
    onFrame() {},
  };
  document.addConnection(listener.connection);
  return listener;
}

/** What somebody has who was sent these. */
function shownBy(...updates: Uint8Array[]): string {
  const doc = new Y.Doc();
  for (const update of updates) Y.applyUpdate(doc, update);
  return textOf(doc);
}

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['performance', 'setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'],
  });
  atTestEnd(() => vi.useRealTimers());
});

/** Has what is due now done. */
const turn = () => vi.advanceTimersByTime(0);

describe('an edit', () => {
  test('[W9] is sent to everybody but who has sent exactly that', () => {
    const { apply, anna, ben } = openRoom(2);
    const typed = typist();
    for (const letter of 'abc') apply(typed(letter), anna.connection);
    turn();
    expect(anna.updates).toEqual([]);
    expect(shownBy(...ben.updates)).toBe('abc');
  });

  test('[W9] is sent back with what has waited for it, which its client lacks', () => {
    const { apply, anna, ben } = openRoom(2);
    const typed = typist();
    const [first, second] = [typed('a'), typed('b')];
    apply(second, ben.connection);
    turn();
    expect([anna.updates, ben.updates]).toEqual([[], []]);
    apply(first, anna.connection);
    turn();
    expect(shownBy(first, ...anna.updates)).toBe('ab');
    expect(shownBy(second, ...ben.updates)).toBe('ab');
  });

  test('[W9] what everybody has sent and been sent is the document, whoever edits in whatever order', () => {
    let [sent, broadcasts] = [0, 0];
    for (let seed = 0; seed < 40; seed += 1) {
      const pick = pickOf(randomOf(seed));
      const { document, apply, everybody } = openRoom(4);
      const bystander = everybody[3] as Listener;
      // Four writers, of whom one is at another instance, who build on each other, and whose edits may overtake others.
      const authors = Array.from({ length: 4 }, (_, index) => typist(index + 1));
      const has = new Map(everybody.map(({ connection }) => [connection, [] as Uint8Array[]]));
      const onTheirWay: (() => void)[] = [];
      for (let edit = 0; edit < 40; edit += 1) {
        const index = pick(authors.length);
        const length = pick(20) === 0 ? 1_100_000 : 1;
        const update = authors[index]?.('abcd'.charAt(index).repeat(length)) ?? new Uint8Array();
        const connection = index === 3 ? undefined : everybody[index]?.connection;
        onTheirWay.splice(pick(4) === 0 ? pick(onTheirWay.length + 1) : onTheirWay.length, 0, () => {
          if (connection !== undefined) has.get(connection)?.push(update);
          apply(update, connection);
        });
        if (pick(10) === 0) onTheirWay.push(() => document.getText('content').insert(0, 'program'));
        while (pick(3) > 0) onTheirWay.shift()?.();
        if (pick(3) === 0) turn();
        if (pick(5) === 0) vi.advanceTimersByTime(pick(WINDOW_MS));
      }
      for (const arrives of onTheirWay) arrives();
      vi.advanceTimersByTime(WINDOW_MS);
      for (const { connection, updates } of everybody) {
        const doc = new Y.Doc();
        for (const update of [...(has.get(connection) ?? []), ...updates]) Y.applyUpdate(doc, update);
        expect(textOf(doc), `seed ${seed}`).toBe(textOf(document));
        sent += updates.length;
      }
      broadcasts += bystander.updates.length;
    }
    // It is worth something.
    expect(sent).toBeLessThan(broadcasts * 3.9);
    expect(broadcasts).toBeGreaterThan(400);
  });
});

describe('edits in a full room', () => {
  test('[P12] leave at once where it was quiet, and those of one person always', () => {
    const { apply, anna, ben } = openRoom();
    const typed = typist();
    for (let edit = 1; edit <= 5; edit += 1) {
      apply(typed('a'), anna.connection);
      turn();
      expect(ben.updates).toHaveLength(edit);
      vi.advanceTimersByTime(5);
    }
  });

  test('[P12] of several share a frame, which leaves a window after the one before it', () => {
    const { apply, anna, ben, cleo } = openRoom();
    apply(typist(1)('a'), anna.connection);
    turn();
    apply(typist(2)('b'), ben.connection);
    vi.advanceTimersByTime(10);
    apply(typist(3)('c'), cleo.connection);
    vi.advanceTimersByTime(WINDOW_MS - 11);
    expect(cleo.updates).toHaveLength(1);
    vi.advanceTimersByTime(1);
    for (const { updates } of [anna, ben, cleo]) expect(shownBy(...updates)).toContain('b');
    expect(anna.updates).toHaveLength(1);
    expect(cleo.updates).toHaveLength(2);
    // Not in a small one.
    const small = openRoom(5);
    for (const [index, { connection }] of [small.anna, small.ben].entries()) {
      small.apply(typist(index + 1)('a'), connection);
      turn();
    }
    expect(small.cleo.updates).toHaveLength(2);
  });

  test('[P12] of others than who types here wait, too: they may be several', () => {
    const { apply, ben } = openRoom();
    for (let author = 1; author <= 10; author += 1) {
      apply(typist(author)('a'));
      vi.advanceTimersByTime(2);
    }
    expect(ben.updates).toHaveLength(1);
    vi.advanceTimersByTime(WINDOW_MS);
    expect(ben.updates).toHaveLength(2);
    expect(shownBy(...ben.updates)).toBe('a'.repeat(10));
  });

  test('[P12] that wait when a document ends leave no timer', () => {
    const { document, apply, anna, ben } = openRoom();
    apply(typist(1)('a'), anna.connection);
    turn();
    apply(typist(2)('b'), ben.connection);
    vi.advanceTimersByTime(1);
    expect(vi.getTimerCount()).toBe(1);
    document.destroy();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('[P12] take presence that is due with them, in one write', () => {
    const { document, apply, anna, ben } = openRoom();
    const says = (state: unknown) => document.awareness.setLocalState({ state });
    says(0);
    turn();
    expect(ben.frames).toEqual([{ type: 'awareness', isMoreComing: false }]);
    vi.advanceTimersByTime(PEOPLE - 5);
    const typed = typist();
    apply(typed('a'), anna.connection);
    turn();
    says(1);
    vi.advanceTimersByTime(10);
    expect(ben.frames.slice(1)).toEqual([{ type: 'update', isMoreComing: false }]);
    apply(typed('b'), anna.connection);
    turn();
    expect(ben.frames.slice(2)).toEqual([
      { type: 'update', isMoreComing: true },
      { type: 'awareness', isMoreComing: true },
    ]);
    // Where nobody types it does not wait for that.
    says(2);
    vi.advanceTimersByTime(PEOPLE);
    expect(ben.frames.slice(4)).toEqual([{ type: 'awareness', isMoreComing: false }]);
  });

  test('[P2] somebody who is found to be gone while edits are sent is gone for the others, though presence waits', () => {
    const { document, apply, anna, ben, cleo } = openRoom();
    const { awareness } = document;
    awareness.setLocalState({});
    turn();
    awareness.setLocalState({ moved: true });
    cleo.onFrame = () => {
      removeAwarenessStates(awareness, [document.clientID], null);
      cleo.onFrame = () => {};
    };
    apply(typist()('a'), anna.connection);
    turn();
    vi.advanceTimersByTime(PEOPLE);
    expect(ben.frames.slice(0, 2).map(({ type }) => type)).toEqual(['awareness', 'update']);
    expect(ben.said.at(-1)).toEqual([{ id: document.clientID, clock: expect.any(Number), state: null }]);
  });
});
