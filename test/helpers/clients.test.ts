import { Server } from '@hocuspocus/server';
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import * as Y from 'yjs';
import { expect, test } from 'vitest';
import { atTestEnd } from './cleanup.ts';
import {
  type Client,
  UpgradeRefused,
  connectHocuspocus,
  connectYWebsocket,
  hocuspocusSocket,
  rawHocuspocus,
  rawYWebsocket,
} from './clients.ts';
import { type Frame, decodeFrame, encodeFrame } from './frames.ts';

/** The stock server of Hocuspocus, to measure the helpers against something that is not ours. */
async function stockHocuspocus(): Promise<string> {
  const server = new Server({
    quiet: true,
    async onAuthenticate({ token }) {
      // It prints an error's message, so it gets none.
      if (token === 'bad') throw Object.assign(new Error(), { reason: 'a bad token' });
    },
  });
  await server.listen(0);
  atTestEnd(() => server.destroy());
  return `http://127.0.0.1:${server.address.port}`;
}

/** As much of a y-websocket server as these tests need: one document, acks when asked for, no relaying. */
async function stubYWebsocket(doc: Y.Doc): Promise<string> {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    verifyClient: ({ origin }, answer) =>
      answer(origin !== 'https://elsewhere.example', 403, 'not from there'),
  });
  atTestEnd(() => server.close());
  await once(server, 'listening');
  server.on('connection', (socket, request) => {
    const { searchParams } = new URL(request.url ?? '', 'http://stub');
    if (searchParams.get('token') === 'bad') return socket.close(4401, 'a bad token');
    const send = (frame: Frame) => socket.send(encodeFrame('y-websocket', frame));
    socket.on('message', (data: Buffer) => {
      const frame = decodeFrame('y-websocket', new Uint8Array(data));
      if (frame.type === 'step1') {
        send({ type: 'step2', update: Y.encodeStateAsUpdate(doc, frame.stateVector) });
        send({ type: 'step1', stateVector: Y.encodeStateVector(doc) });
      } else if (frame.type === 'step2' || frame.type === 'update') {
        Y.applyUpdate(doc, frame.update);
        if (searchParams.get('acks') === '1') send({ type: 'sync-status', saved: true });
      }
    });
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function write(client: Client<unknown>, text: string): void {
  client.doc.getText('t').insert(0, text);
}

test('[T8] the y-websocket client syncs, counts acks, and says why it was refused', async () => {
  const doc = new Y.Doc();
  doc.getText('t').insert(0, '!');
  const url = await stubYWebsocket(doc);
  const client = connectYWebsocket(url, 'folder/name', { acks: true, token: 'good' });
  await client.synced();
  await client.sees((seen) => seen.getText('t').toString() === '!');
  write(client, 'there');
  write(client, 'hello ');
  await client.saved();
  expect(doc.getText('t').toString()).toBe('hello there!');

  const silent = connectYWebsocket(url, 'name');
  await silent.synced();
  await expect(silent.saved(50)).rejects.toThrow(
    'name saved (line: open, synced: true, unsaved: 1, refused: no, closed: []): not within 50 ms',
  );

  const refused = connectYWebsocket(url, 'name', { token: 'bad' });
  await expect(refused.synced()).rejects.toThrow('the server closed with 4401 a bad token');
  expect(refused.closes).toEqual([{ code: 4401, reason: 'a bad token' }]);

  const raw = await rawYWebsocket(`${url}/name?acks=1`);
  raw.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
  raw.send({ type: 'update', update: Y.encodeStateAsUpdate(new Y.Doc()) });
  expect(await raw.next('sync-status')).toMatchObject({ saved: true });
  expect(raw.frames.map((frame) => frame.type)).toEqual(['step2', 'step1', 'sync-status']);
  const copy = new Y.Doc();
  Y.applyUpdate(copy, (await raw.next('step2')).update);
  expect(copy.getText('t').toString()).toBe('hello there!');
  await expect(raw.next('step2', 50)).rejects.toThrow(/not within 50 ms/);

  const elsewhere = rawYWebsocket(`${url}/name`, { headers: { origin: 'https://elsewhere.example' } });
  const refusal = await elsewhere.catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(UpgradeRefused);
  expect(refusal).toMatchObject({ status: 403, body: 'not from there' });
});

test('[T9] the Hocuspocus client syncs, counts acks, and says why it was refused', async () => {
  const url = await stockHocuspocus();
  const [one, two] = [connectHocuspocus(url, 'name', { token: 'good' }), connectHocuspocus(url, 'name')];
  await Promise.all([one.synced(), two.synced()]);
  write(one, 'hello');
  one.awareness.setLocalStateField('user', 'one');
  await one.saved();
  await two.sees((doc) => doc.getText('t').toString() === 'hello');
  await two.sees((_doc, awareness) => awareness.getStates().get(one.doc.clientID)?.['user'] === 'one');

  const socket = hocuspocusSocket(url);
  const shared = ['name', 'other'].map((name) => connectHocuspocus(url, name, { socket }));
  await Promise.all(shared.map((client) => client.saved()));
  expect(shared.map((client) => client.doc.getText('t').toString())).toEqual(['hello', '']);

  const refused = connectHocuspocus(url, 'name', { token: 'bad' });
  await expect(refused.synced()).rejects.toThrow('authentication failed: a bad token');

  const raw = await rawHocuspocus(url);
  raw.send({ type: 'token', token: 'good' }, 'name');
  expect(await raw.next('authenticated')).toMatchObject({ scope: 'read-write', address: 'name' });
  raw.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, 'name');
  const copy = new Y.Doc();
  Y.applyUpdate(copy, (await raw.next('step2')).update);
  expect(copy.getText('t').toString()).toBe('hello');
  raw.send({ type: 'update', update: Y.encodeStateAsUpdate(copy) }, 'name');
  expect(await raw.next('sync-status')).toMatchObject({ saved: true });
  raw.send({ type: 'close' }, 'name');
  expect(await raw.next('close')).toMatchObject({ address: 'name' });
  raw.socket.close(1000);
  expect(await raw.closed()).toMatchObject({ code: 1000 });
});
