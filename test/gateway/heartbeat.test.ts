import { randomBytes } from 'node:crypto';
import type { Socket as TcpSocket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createSignal, until } from '../helpers/deadline.ts';
import { PROTOCOLS, type Protocol, joinAs, updateOf } from '../helpers/editor.ts';
import { encodeFrame } from '../helpers/frames.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { joinPresence } from '../helpers/presence.ts';
import { type RawClient, type RawOptions, rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';

const HEARTBEAT_MS = 50;
const ROOM = 'heartbeat/room';

/** In the document, and doing nothing. */
async function sit(protocol: Protocol, url: string, options: RawOptions = {}): Promise<RawClient> {
  if (protocol === 'y-websocket') return rawYWebsocket(`${url}/${ROOM}`, options);
  const client = await rawHocuspocus(url, options);
  client.send({ type: 'token', token: '' }, ROOM);
  return client;
}

/** Counts the server's pings; `reach` waits for so many. */
function countPings({ socket }: RawClient, onPing = (_count: number) => {}) {
  const changed = createSignal();
  let count = 0;
  socket.on('ping', () => {
    count += 1;
    onPing(count);
    changed.fire();
  });
  socket.on('close', changed.fire);
  const reach = (wanted: number) =>
    until({
      what: () => `${wanted} pings (${count} came)`,
      check: () => count >= wanted,
      hopeless: () => (socket.readyState === socket.CLOSED ? 'the connection closed' : undefined),
      signal: changed,
    });
  return { count: () => count, reach };
}

describe.each(PROTOCOLS)('the heartbeat over %s', (protocol) => {
  test('[G1] a peer that stops answering is gone at the third beat, for everybody', async () => {
    const { url } = await startServer({ heartbeatMs: 200 });
    const watcher = await joinPresence(protocol, url, ROOM);
    const dead = await sit(protocol, url, { autoPong: false });
    const pings = countPings(dead);
    watcher.says(1, 1, {});
    const entries = [1, 7, 1, 2, 123, 125];
    dead.send({ type: 'awareness', update: new Uint8Array(entries) }, ROOM);
    await watcher.sees((view) => 7 in view);
    const before = pings.count();
    await watcher.sees((view) => !(7 in view));
    // One may have been on its way, two stay unanswered.
    expect(pings.count() - before).toBeLessThanOrEqual(3);
    expect(await dead.closed()).toMatchObject({ code: 1006 });
    expect(watcher.client.socket.readyState).toBe(watcher.client.socket.OPEN);
  });

  test('[G1] a peer that answers stays, though it says nothing', async () => {
    const { url } = await startServer({ heartbeatMs: HEARTBEAT_MS });
    const client = await sit(protocol, url);
    await countPings(client).reach(10);
    client.send({ type: 'query-awareness' }, ROOM);
    await client.next('awareness');
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test('[G1] a peer whose large frame is on its way stays, though its answers wait behind it', async () => {
    const { url } = await startServer({ heartbeatMs: HEARTBEAT_MS });
    const other = await joinAs(protocol, url, ROOM);
    await other.ask();
    const client = await sit(protocol, url, { autoPong: false });
    const frame = maskedFrame(
      encodeFrame(protocol, { type: 'update', update: updateOf('x'.repeat(100)) }, ROOM),
    );
    const tcp = Reflect.get(client.socket, '_socket') as TcpSocket;
    const step = Math.ceil(frame.length / 12);
    const pings = countPings(client, (count) => tcp.write(frame.subarray((count - 1) * step, count * step)));
    await pings.reach(12);
    await other.client.next('update');
    expect((await other.ask()).getText('content')).toHaveLength(100);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test('[G1] a peer that we do not read stays, though its answers wait', async () => {
    const cluster = await startPostgres();
    const { url } = await startServer({
      databaseUrl: cluster.url,
      heartbeatMs: HEARTBEAT_MS,
      limitQueueBytes: 1024,
    });
    const [editor, other] = [await joinAs(protocol, url, ROOM), await sit(protocol, url)];
    editor.type('hello');
    await editor.ack();
    other.send({ type: 'query-awareness' }, ROOM);
    await other.next('awareness');
    const pings = [editor.client, other].map((client) => countPings(client));
    cluster.freeze();
    // The first is on its way to Postgres, the second fills the queue.
    editor.type('x'.repeat(2048));
    editor.type('y'.repeat(2048));
    await other.next('update');
    // Every other beat carries a frame to a quiet line; pings stop, since nobody reads the answers.
    for (let beat = 0; beat < 2; beat += 1) await other.next('awareness');
    const before = pings.map(({ count }) => count());
    for (let beat = 0; beat < 5; beat += 1) await other.next('awareness');
    expect(pings.map(({ count }) => count())).toEqual(before);
    cluster.thaw();
    expect([await editor.ack(), await editor.ack()]).toEqual([true, true]);
    for (const [index, { reach }] of pings.entries()) await reach((before[index] ?? 0) + 5);
  });
});

/** A WebSocket frame as a client sends it: binary, final, masked. */
function maskedFrame(payload: Uint8Array): Buffer {
  const mask = randomBytes(4);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(payload.length);
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x82, 0x80 | 126]), length, mask, masked]);
}
