import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { encodeFrame } from '../helpers/frames.ts';
import { valueOf } from '../helpers/metrics.ts';
import { joinPresence } from '../helpers/presence.ts';
import { inOnePiece } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';

const ROOM = 'gateway/frames';
const LIMIT = 4096;

/** The update that types a text; its length depends on the client's id. */
function typing(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = 1;
  doc.getText('content').insert(0, text);
  return Y.encodeStateAsUpdate(doc);
}

describe.each(PROTOCOLS)('frames over %s', (protocol) => {
  test('[G3] a frame over the limit closes its own socket only', async () => {
    const { url } = await startServer({ limitFrameBytes: LIMIT });
    const [bad, good] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    bad.client.sendBytes(new Uint8Array(LIMIT + 1));
    expect(await bad.client.closed()).toEqual({ code: 4413, reason: 'frame_too_large' });
    good.type('after');
    expect(await good.ack()).toBe(true);
  });

  test('[A10] an edit counts that comes in one read with a frame that ends the socket', async () => {
    const { url } = await startServer();
    for (const end of ['bad', 'text', 'close'] as const) {
      const room = `${ROOM}/${end}`;
      const [editor, other] = [await joinAs(protocol, url, room), await joinAs(protocol, url, room)];
      await Promise.all([editor.ask(), other.ask()]);
      const { socket } = editor.client;
      inOnePiece(editor.client, () => {
        editor.type('counts');
        if (end === 'bad') editor.client.sendBytes(new Uint8Array([255]));
        else if (end === 'text') socket.send('text');
        else socket.close();
      });
      const { code } = await editor.client.closed();
      expect(code).toBe(end === 'close' ? 1005 : 4400);
      Y.applyUpdate(other.doc, (await other.client.next('update')).update, 'server');
      expect(textOf(await other.ask())).toBe('counts');
    }
  });

  test('[G3] a frame of the limit is taken', async () => {
    const { url } = await startServer({ limitFrameBytes: LIMIT });
    const editor = await joinAs(protocol, url, ROOM);
    const sample = encodeFrame(protocol, { type: 'update', update: typing('x'.repeat(3_000)) }, ROOM);
    const text = 'x'.repeat(LIMIT - sample.length + 3_000);
    const largest = typing(text);
    expect(encodeFrame(protocol, { type: 'update', update: largest }, ROOM)).toHaveLength(LIMIT);
    editor.send(largest);
    expect(await editor.ack()).toBe(true);
    expect(textOf(await editor.ask())).toBe(text);
  });
});

describe.each(PROTOCOLS)('a client over %s that does not read', (protocol) => {
  test('[G4] is cut off at the limit, and the others have everything', async () => {
    const { url } = await startServer({ limitSendBytes: 1024 * 1024 });
    const [author, reader, slow] = [
      await joinAs(protocol, url, ROOM),
      await joinAs(protocol, url, ROOM),
      await joinAs(protocol, url, ROOM),
    ];
    for (const { client } of [reader, slow]) {
      client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, ROOM);
      await client.next('step2');
    }
    slow.client.socket.pause();
    const copy = new Y.Doc();
    let typed = '';
    // More than the kernel takes of both ends of a connection, so that it is the server that holds the rest.
    for (let round = 0; round < 30; round += 1) {
      const text = String.fromCharCode(97 + (round % 26)).repeat(1024 * 1024);
      typed += text;
      author.type(text);
      expect(await author.ack()).toBe(true);
      Y.applyUpdate(copy, (await reader.client.next('update')).update);
    }
    expect(textOf(copy) === typed).toBe(true);
    slow.client.socket.resume();
    expect(await slow.client.closed()).toEqual({ code: 1013, reason: 'slow_reader' });
    author.type('!');
    expect(await author.ack()).toBe(true);
    expect(await reader.client.next('update')).toBeDefined();
  });

  test('[G4] is spared presence first, and has it when it has caught up', async () => {
    const { url } = await startServer({ limitSendBytes: 32 * 1024 * 1024 });
    const author = await joinAs(protocol, url, ROOM);
    const person = await joinPresence(protocol, url, ROOM);
    const slow = await joinPresence(protocol, url, ROOM);
    person.says(1, 1, { clock: 1 });
    slow.asks();
    await slow.sees((view) => 1 in view);
    slow.client.socket.pause();
    const isSpared = async () => (await valueOf(url, 'indelible_spared_presence_frames_total')) > 0;
    let clock = 1;
    while (!(await isSpared())) {
      author.type('x'.repeat(1024 * 1024));
      expect(await author.ack()).toBe(true);
      person.says(1, (clock += 1), { clock });
    }
    slow.client.socket.resume();
    await slow.sees((view) => JSON.stringify(view[1]) === JSON.stringify({ clock }));
    expect(slow.client.socket.readyState).toBe(WebSocket.OPEN);
  });

  test('[G4] a document larger than the limit can be opened by who reads', async () => {
    const { url } = await startServer({ limitSendBytes: 64 * 1024 });
    const author = await joinAs(protocol, url, ROOM);
    author.send(typing('x'.repeat(4 * 1024 * 1024)));
    expect(await author.ack(30_000)).toBe(true);
    const reader = await joinAs(protocol, url, ROOM);
    // Answers to the edits queue up behind the document.
    reader.client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, ROOM);
    for (let edit = 0; edit < 10; edit += 1) reader.type(`${edit}`);
    const doc = new Y.Doc();
    Y.applyUpdate(doc, (await reader.client.next('step2')).update);
    expect(textOf(doc).length).toBeGreaterThanOrEqual(4 * 1024 * 1024);
    for (let edit = 0; edit < 10; edit += 1) expect(await reader.ack()).toBe(true);
  });
});
