import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Editor, PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { type RawOptions, UpgradeRefused, rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';

const ROOM = 'notes/today';
const nothing = Y.encodeStateVector(new Y.Doc());

/** Opens a y-websocket socket: it itself, or the status of its refusal. */
async function enter(url: string, options?: RawOptions) {
  try {
    return await rawYWebsocket(`${url}/${ROOM}`, options);
  } catch (error) {
    if (error instanceof UpgradeRefused) return error.status;
    throw error;
  }
}

/** Why somebody is in the document no more. */
async function endOf({ client }: Editor): Promise<string> {
  try {
    return (await client.next('denied')).reason;
  } catch {
    return (await client.closed()).reason;
  }
}

const isIn = (entered: Awaited<ReturnType<typeof enter>>) => typeof entered !== 'number';
const from = (address: string): RawOptions => ({ headers: { 'X-Forwarded-For': address } });

describe('sockets', () => {
  test('[Q1] above the limit are told to come back, and get in when somebody leaves', async () => {
    const { url } = await startServer({ limitConnections: 2 });
    const [one] = [await rawHocuspocus(url), await enter(url)];
    expect(await enter(url)).toBe(429);
    const page = await rawYWebsocket(`${url}/${ROOM}`, { headers: { Origin: url } });
    expect(await page.closed()).toEqual({ code: 1013, reason: 'too_many_connections' });
    one.socket.close();
    await expect.poll(async () => isIn(await enter(url))).toBe(true);
  });

  test('[Q1] of one address are limited, and who is behind a trusted proxy has an address of their own', async () => {
    const { url } = await startServer({ limitConnectionsPerAddress: 1, trustProxy: ['loopback'] });
    expect(isIn(await enter(url, from('192.0.2.1')))).toBe(true);
    expect(await enter(url, from('192.0.2.1'))).toBe(429);
    // What the client itself put in front is not believed.
    expect(await enter(url, from('192.0.2.9, 192.0.2.1'))).toBe(429);
    expect(isIn(await enter(url, from('192.0.2.2')))).toBe(true);
  });

  test('[Q1] of one address are limited whatever they say, where no proxy is trusted', async () => {
    const { url } = await startServer({ limitConnectionsPerAddress: 1 });
    expect(isIn(await enter(url, from('192.0.2.1')))).toBe(true);
    expect(await enter(url, from('192.0.2.2'))).toBe(429);
  });

  test('[Q8] cannot be allowed in greater numbers than files can be opened', async () => {
    await expect(startServer({ limitConnections: 100_000_000 })).rejects.toThrow(
      /LIMIT_CONNECTIONS .*the limit of open files allows \d+ sockets/,
    );
  });
});

describe('people in a document', () => {
  test('[Q2] above the limit are refused before the handshake', async () => {
    const { url } = await startServer({ limitConnectionsPerDocument: 2 });
    for (const protocol of PROTOCOLS) await (await joinAs(protocol, url, ROOM)).ask();
    expect(await enter(url)).toBe(429);
  });

  test('[Q2] are limited when they come at once, over both protocols, and others get in when some leave', async () => {
    const { url } = await startServer({ limitConnectionsPerDocument: 3 });
    const joining = Array.from({ length: 5 }, () => PROTOCOLS.map((protocol) => joinAs(protocol, url, ROOM)));
    const answers = await Promise.all(
      joining.flat().map(async (each) => {
        try {
          const person = await each;
          return await Promise.any([person.ask().then(() => person), endOf(person)]);
        } catch (error) {
          return error instanceof UpgradeRefused ? error.body.trim() : `${error as Error}`;
        }
      }),
    );
    const inside = answers.filter((answer) => typeof answer !== 'string');
    expect(inside).toHaveLength(3);
    expect(new Set(answers.filter((answer) => typeof answer === 'string'))).toEqual(
      new Set(['document_full']),
    );
    inside[0]?.client.socket.close();
    await expect.poll(async () => isIn(await enter(url))).toBe(true);
  });
});

describe('documents on a Hocuspocus socket', () => {
  test('[Q3] above the limit are refused by name, and the others stay', async () => {
    const { url } = await startServer({ limitDocuments: 2 });
    const client = await rawHocuspocus(url);
    for (const name of ['one', 'two', 'three']) client.send({ type: 'token', token: '' }, name);
    expect(await client.next('denied')).toMatchObject({ address: 'three', reason: 'too_many_documents' });
    for (const name of ['one', 'two']) {
      client.send({ type: 'update', update: updateOf('hello') }, name);
      expect(await client.next('sync-status')).toMatchObject({ address: name, saved: true });
    }
    client.send({ type: 'close' }, 'one');
    await client.next('close');
    client.send({ type: 'token', token: '' }, 'three');
    client.send({ type: 'update', update: updateOf('hello') }, 'three');
    expect(await client.next('sync-status')).toMatchObject({ address: 'three', saved: true });
  });
});

describe.each(PROTOCOLS)('over %s', (protocol) => {
  test('[Q4] who sends too much is read more slowly, everything is acknowledged, and others do not wait', async () => {
    const KB = 1024;
    const { url } = await startServer({ limitBytes: 400 * KB });
    const [hasty, calm] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    // Forty of them at once; the others take two seconds.
    const frames = 48;
    for (let edit = 0; edit < frames; edit += 1) hasty.type('x'.repeat(100 * KB));
    await expect.poll(() => hasty.acks().length, { timeout: 20_000 }).toBeGreaterThanOrEqual(39);
    calm.type('!');
    expect(await calm.ack()).toBe(true);
    expect(hasty.acks().length).toBeLessThan(frames);
    await expect.poll(() => hasty.acks().length, { timeout: 20_000 }).toBe(frames);
    expect(hasty.acks()).not.toContain(false);
    expect(textOf(await calm.ask())).toHaveLength(frames * 100 * KB + 1);
    expect(await valueOf(url, 'indelible_throttled_frames_total')).toBeGreaterThan(0);
  }, 60_000);

  test('[Q5] a document at its limit takes no more text; what deletes or repeats it takes, and others go on', async () => {
    const { url } = await startServer({ limitDocumentBytes: 10_000 });
    const [author, other] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    author.type('x'.repeat(9_000));
    expect(await author.ack()).toBe(true);
    const state = Y.encodeStateAsUpdate(author.doc);
    author.type('y'.repeat(2_000));
    expect(await endOf(author)).toBe('document_too_large');

    other.send(state);
    expect(await other.ack()).toBe(true);
    Y.applyUpdate(other.doc, Y.encodeStateAsUpdate(await other.ask()));
    expect(await other.ack()).toBe(true);
    expect(textOf(other.doc)).toBe('x'.repeat(9_000));
    other.doc.getText('content').delete(0, 8_990);
    expect(await other.ack()).toBe(true);
    expect(textOf(await other.ask())).toBe('x'.repeat(10));
  });

  test('[Q6] edits that wait for missing ones are limited; others are not, and what waits takes effect', async () => {
    const { url } = await startServer({ limitPendingBytes: 2_000 });
    const author = new Y.Doc();
    const updates: Uint8Array[] = [];
    author.on('update', (update: Uint8Array) => updates.push(update));
    for (const letter of 'abc') author.getText('content').insert(0, letter.repeat(1_500));
    const [first, second, third] = updates as [Uint8Array, Uint8Array, Uint8Array];

    const [sender, other] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    sender.send(second);
    expect(await sender.ack()).toBe(true);
    sender.send(third);
    expect(await endOf(sender)).toBe('too_much_pending');
    other.type('?'.repeat(3_000));
    expect(await other.ack()).toBe(true);
    other.send(first);
    expect(await other.ack()).toBe(true);
    const text = textOf(await other.ask());
    expect(text).toHaveLength(6_000);
    expect(text).toMatch(/b{1500}a{1500}/);
  });

  test('[Q7] who asks for the whole document again and again is answered once, and once more', async () => {
    const { url } = await startServer();
    const author = await joinAs(protocol, url, ROOM);
    // More than the kernel takes of both ends of a connection.
    for (let part = 0; part < 6; part += 1) {
      author.type('x'.repeat(4 * 1024 * 1024));
      expect(await author.ack(30_000)).toBe(true);
    }
    const { client } = await joinAs(protocol, url, ROOM);
    client.send({ type: 'query-awareness' }, ROOM);
    await client.next('awareness');
    client.socket.pause();
    for (let question = 0; question < 20; question += 1) {
      client.send({ type: 'step1', stateVector: nothing }, ROOM);
    }
    // All of them have arrived, in one turn or several, when this edit has.
    client.send({ type: 'update', update: updateOf('last') }, ROOM);
    const reader = await joinAs(protocol, url, ROOM);
    await expect.poll(async () => textOf(await reader.ask()).includes('last')).toBe(true);
    client.socket.resume();
    for (let answer = 0; answer < 2; answer += 1) await client.next('step2', 30_000);
    client.send({ type: 'query-awareness' }, ROOM);
    await client.next('awareness');
    expect(client.frames.filter(({ type }) => type === 'step2')).toHaveLength(2);
  }, 60_000);
});

test('[Q9] each refusal is counted by its code', async () => {
  const { url } = await startServer({
    limitDocuments: 1,
    limitConnections: 3,
    limitConnectionsPerDocument: 1,
    limitDocumentBytes: 2_000,
    limitPresenceBytes: 64,
  });
  const refused = (code: string) => valueOf(url, 'indelible_refused_total', { code });
  const client = await rawHocuspocus(url);
  for (const name of [ROOM, 'other']) client.send({ type: 'token', token: '' }, name);
  await client.next('denied');
  expect(await refused('too_many_documents')).toBe(1);
  // The other one is open, and its place taken, when it answers.
  client.send({ type: 'step1', stateVector: nothing }, ROOM);
  await client.next('step2');

  expect(await enter(url)).toBe(429);
  expect(await refused('document_full')).toBe(1);

  client.send({ type: 'update', update: updateOf('x'.repeat(3_000)) }, ROOM);
  await client.next('denied');
  expect(await refused('document_too_large')).toBe(1);

  const sockets = [await rawHocuspocus(url), await rawHocuspocus(url)];
  expect(await enter(url)).toBe(429);
  expect(await refused('too_many_connections')).toBe(1);
  expect(sockets.every(({ socket }) => socket.readyState === WebSocket.OPEN)).toBe(true);
});
