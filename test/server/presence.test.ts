import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Client, connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, type Protocol } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { AT_ONCE_MS, joinPresence } from '../helpers/presence.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';

const ROOM = 'presence/providers';

type Participant = Client<unknown>;

function connectAs(protocol: Protocol, url: string, doc = new Y.Doc()): Participant {
  return protocol === 'y-websocket'
    ? connectYWebsocket(url, ROOM, { acks: true, doc })
    : connectHocuspocus(url, ROOM, { doc });
}

function cursorOf(viewer: Participant, of: Participant): unknown {
  return viewer.awareness.getStates().get(of.doc.clientID)?.['cursor'];
}

const isThere = (viewer: Participant, of: Participant) =>
  viewer.sees((_doc, awareness) => awareness.getStates().has(of.doc.clientID), AT_ONCE_MS);

const isGone = (viewer: Participant, of: Participant) =>
  viewer.sees((_doc, awareness) => !awareness.getStates().has(of.doc.clientID), AT_ONCE_MS);

/** Moves a cursor, and waits until the others have seen it. */
async function move(mover: Participant, cursor: number, others: Participant[]): Promise<void> {
  mover.awareness.setLocalStateField('cursor', cursor);
  for (const other of others) await other.sees(() => cursorOf(other, mover) === cursor, AT_ONCE_MS);
}

/** Waits until the server has handled everything that somebody has sent: it acknowledges an edit sent after it. */
async function isHandled(client: Participant): Promise<void> {
  client.doc.getMap('marks').set(`${client.doc.clientID}`, Math.random());
  await client.saved();
}

describe.each(PROTOCOLS)('the presence of a %s provider', (protocol) => {
  const other = protocol === 'hocuspocus' ? 'y-websocket' : 'hocuspocus';

  test('[P1] reaches the other kind of client, those who come later too', async () => {
    const { url } = await startServer();
    const anna = connectAs(protocol, url);
    const bert = connectAs(other, url);
    await Promise.all([anna.synced(), bert.synced()]);
    await move(anna, 1, [bert]);
    const late = connectAs(other, url);
    await isThere(late, anna);
    expect(cursorOf(late, anna)).toBe(1);
  });

  test('[P4] is there again at once after a restart of the server, though nobody moves', async () => {
    const storage = await createStorage('postgres');
    const first = await startServer(storage);
    const anna = connectAs(protocol, first.url);
    const [bert, cleo] = [connectAs(other, first.url), connectAs(other, first.url)];
    await move(anna, 1, [bert, cleo]);
    await move(bert, 2, [anna, cleo]);
    await first.server.close();
    await Promise.all([anna.closed(), bert.closed(), cleo.closed()]);
    await startServer({ ...storage, port: Number(new URL(first.url).port) });
    await Promise.all([isThere(anna, bert), isThere(bert, anna), isThere(cleo, anna), isThere(cleo, bert)]);
    expect([cursorOf(cleo, anna), cursorOf(cleo, bert)]).toEqual([1, 2]);
    await move(anna, 3, [bert, cleo]);
  });

  test('[P2] ends at once for everybody when the provider is destroyed', async () => {
    const { url } = await startServer();
    const [anna, ...others] = [protocol, ...PROTOCOLS].map((kind) => connectAs(kind, url)) as [Participant];
    await move(anna, 1, others);
    anna.destroy();
    for (const viewer of others) await isGone(viewer, anna);
    expect(others.map((viewer) => cursorOf(viewer, anna))).toEqual([undefined, undefined]);
  });

  test('[P3] survives a reconnect whose old socket the server still believes in', async () => {
    const { url } = await startServer();
    const proxy = await startProxy(url);
    const [anna, watcher] = [connectAs(protocol, proxy.url), await joinPresence(other, url, ROOM)];
    const id = anna.doc.clientID;
    watcher.asks();
    anna.awareness.setLocalStateField('cursor', 1);
    await watcher.sees((view) => JSON.stringify(view[id]) === '{"cursor":1}');
    proxy.sever();
    await anna.closed();
    await anna.synced();
    await isHandled(anna);
    proxy.release();
    while ((await valueOf(url, 'indelible_connections', { protocol })) > 1);
    await watcher.isHeardBy(watcher);
    expect(watcher.heard().filter((state) => state.id === id && state.state === null)).toEqual([]);
    anna.awareness.setLocalStateField('cursor', 2);
    await watcher.sees((view) => JSON.stringify(view[id]) === '{"cursor":2}');
  });

  test('[P4] is back at once when a new provider takes over the document, and settles', async () => {
    const { url } = await startServer();
    const bert = connectAs(other, url);
    const before = connectAs(protocol, url);
    for (const cursor of [1, 2, 3, 4, 5]) await move(before, cursor, [bert]);
    before.destroy();
    await isGone(bert, before);
    // Its clock starts anew, and it moves on before it can know the clock that it is given.
    const after = connectAs(protocol, url, before.doc);
    after.awareness.setLocalStateField('cursor', 6);
    await after.synced();
    for (const cursor of [7, 8, 9]) after.awareness.setLocalStateField('cursor', cursor);
    await bert.sees(() => cursorOf(bert, after) === 9, AT_ONCE_MS);

    const watcher = await joinPresence(other, url, ROOM);
    watcher.asks();
    await watcher.sees((view) => after.doc.clientID in view);
    for (let round = 0; round < 3; round += 1) await isHandled(after);
    await watcher.isHeardBy(watcher);
    const heard = watcher.heard().length;
    for (let round = 0; round < 3; round += 1) await isHandled(after);
    await watcher.isHeardBy(watcher);
    const since = watcher.heard().slice(heard);
    expect(since.filter(({ id }) => id === after.doc.clientID)).toEqual([]);
    expect([cursorOf(bert, after), cursorOf(after, after)]).toEqual([9, 9]);
  });
});

describe('y-websocket clients, which send back what they are sent', () => {
  test('[P5] one change of one of many is sent once to everybody, and then it is quiet', async () => {
    const { url } = await startServer();
    const [anna, ...others] = Array.from({ length: 6 }, () => connectAs('y-websocket', url)) as [Participant];
    const silent = await joinPresence('y-websocket', url, ROOM);
    silent.asks();
    for (const client of [anna, ...others]) await client.synced();
    await move(anna, 1, others);
    const settle = async () => {
      for (const client of [anna, ...others]) await isHandled(client);
      await silent.isHeardBy(silent);
    };
    await settle();
    const before = silent.client.frames.filter(({ type }) => type === 'awareness').length;
    await move(anna, 2, others);
    await settle();
    await settle();
    const since = silent.client.frames.filter(({ type }) => type === 'awareness').slice(before);
    // One for the change, and one for each mark by which it is known to be over.
    expect(since).toHaveLength(3);
  });

  test('[P5] somebody who only looks takes nobody over, whether they leave or others do', async () => {
    const { url } = await startServer();
    const watcher = await joinPresence('hocuspocus', url, ROOM);
    const anna = connectAs('y-websocket', url);
    const id = anna.doc.clientID;
    anna.awareness.setLocalStateField('cursor', 1);
    await watcher.sees((view) => JSON.stringify(view[id]) === '{"cursor":1}');
    const lookers = [connectAs('y-websocket', url), connectAs('y-websocket', url)];
    for (const looker of lookers) {
      looker.awareness.setLocalState(null);
      await isThere(looker, anna);
      await isHandled(looker);
    }
    lookers[1]?.destroy();
    await isHandled(anna);
    await watcher.isHeardBy(watcher);
    expect(watcher.heard().filter((state) => state.id === id && state.state === null)).toEqual([]);
    (anna.provider as { ws: { terminate(): void } }).ws.terminate();
    await watcher.sees((view) => !(id in view));
  });

  test('[P5] a tab that repeats another over its own socket does not keep it when that one leaves', async () => {
    const { url } = await startServer();
    const join = () => joinPresence('y-websocket', url, ROOM);
    const [first, second, watcher] = [await join(), await join(), await join()];
    watcher.asks();
    first.says(1, 1, { tab: 1 });
    // Over the BroadcastChannel it knew of the second tab before that one's own socket was open.
    first.says(2, 1, { tab: 2 });
    await first.isHeardBy(watcher);
    second.says(2, 1, { tab: 2 });
    second.says(1, 1, { tab: 1 });
    second.says(2, 2, { tab: 2, cursor: 1 });
    await second.isHeardBy(watcher);
    first.says(2, 2, { tab: 2, cursor: 1 });
    await first.isHeardBy(watcher);
    second.client.socket.terminate();
    await watcher.sees((view) => !(2 in view));
    first.says(2, 2, { tab: 2, cursor: 1 });
    await first.isHeardBy(watcher);
    expect(watcher.view()).toEqual({ 1: { tab: 1 } });
  });
});
