import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { mintToken } from '../../server/auth/tokens.ts';
import { ERROR } from '../helpers/bystanders.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { type Protocol, PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { claimForgotten, claimText } from '../helpers/hostile.ts';
import { documentsBecome } from '../helpers/metrics.ts';
import { startServer } from '../helpers/server.ts';
import { type Storage, createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import { SECRET } from '../helpers/tokens.ts';

const ROOM = 'hostile/clocks';
const COMMITTED = 'mine ';

const tokenFor = (sub: string) => mintToken(SECRET, { sub, access: { '**': 'write' } }, 60);

/** What somebody says in the name of a client that has written up to a clock. */
type Claim = (client: number, clock: number) => Uint8Array;

const TEXTS: Array<[name: string, claim: Claim]> = [
  ['text', (client, clock) => claimText(client, clock, 'forged')],
  ['text of one letter', (client, clock) => claimText(client, clock, 'f')],
  ['text that waits for what lies before', (client, clock) => claimText(client, clock + 3, 'forged')],
];
const CLAIMS: typeof TEXTS = [
  ...TEXTS,
  ['nothing, for two clocks', (client, clock) => claimForgotten(client, clock, 2)],
  ['nothing, for all clocks', (client, clock) => claimForgotten(client, clock, 2 ** 31 - 1 - clock)],
];

/** Somebody with a real client and a copy of the document. */
async function connectAs(protocol: Protocol, url: string, sub: string, doc = new Y.Doc()) {
  const token = await tokenFor(sub);
  const client =
    protocol === 'y-websocket'
      ? connectYWebsocket(url, ROOM, { token, doc, acks: true })
      : connectHocuspocus(url, ROOM, { token, doc });
  await client.saved();
  return client;
}

/** A server, Vera with an edit that is committed, and Mallory. */
async function meet(protocol: Protocol) {
  const storage = await createStorage('postgres');
  const server = await startServer({ ...storage, jwtSecret: SECRET });
  const vera = await connectAs(protocol, server.url, 'vera');
  type(vera.doc, COMMITTED);
  await vera.saved();
  const mallory = await joinAs(protocol, server.url, ROOM, await tokenFor('mallory'));
  return { storage, server, vera, mallory };
}

/** Vera types while she is away, and Mallory claims those clocks. */
async function claimWhileAway(protocol: Protocol, claim: Claim) {
  const met = await meet(protocol);
  leave(met.vera);
  type(met.vera.doc, 'and more');
  met.mallory.send(claim(met.vera.doc.clientID, COMMITTED.length));
  expect(await met.mallory.ack()).toBe(true);
  return met;
}

/** A y-websocket provider cannot leave under another id than it came with, which Yjs may have changed meanwhile. */
function leave(client: Awaited<ReturnType<typeof connectAs>>): void {
  const { doc, awareness } = client;
  const { clientID } = doc;
  doc.clientID = awareness.clientID;
  client.destroy();
  doc.clientID = clientID;
}

function type(doc: Y.Doc, text: string): void {
  doc.getText('content').insert(textOf(doc).length, text);
}

async function query<T extends object>(storage: Storage, sql: string): Promise<T[]> {
  return (await (await openStorage(storage)).queries.query<T>(sql)).rows;
}

async function storedText(storage: Storage): Promise<string> {
  return textOf((await rebuild(await openStorage(storage), ROOM)) ?? new Y.Doc());
}

const rowsOf = (storage: Storage) => query(storage, 'select author from indelible.updates order by id');

describe.each(PROTOCOLS)('clocks that somebody else claims over %s', (protocol) => {
  test.each(TEXTS)(
    '[X4] %s: logged with its author; without that row what the client typed comes in from its own copy',
    async (_name, claim) => {
      const { storage, server, vera, mallory } = await claimWhileAway(protocol, claim);
      expect(await rowsOf(storage)).toEqual([{ author: 'vera' }, { author: 'mallory' }]);
      leave(await connectAs(protocol, server.url, 'vera', vera.doc));
      expect(textOf(vera.doc)).toMatch(/^mine and more/);

      await query(storage, `update indelible.updates set quarantined = 'operator' where author = 'mallory'`);
      expect(await storedText(storage), 'nothing of the claim is left').toMatch(/^mine (and more)?$/);
      mallory.client.socket.close();
      await documentsBecome(server.url, 0, 5_000);
      leave(await connectAs(protocol, server.url, 'vera', vera.doc));
      expect(await storedText(storage)).toBe(textOf(vera.doc));
      expect(textOf(vera.doc)).toMatch(/^mine and more/);
      expect(server.log.filter(({ level }) => level >= ERROR)).toEqual([]);
    },
  );

  test.each(CLAIMS)(
    '[X5] %s: what was committed stays, and a client that is there goes on under another id',
    async (_name, claim) => {
      const { storage, server, vera, mallory } = await meet(protocol);
      const { clientID } = vera.doc;
      mallory.send(claim(clientID, COMMITTED.length));
      expect(await mallory.ack()).toBe(true);
      const words = ['who ', 'is ', 'that '];
      for (const word of words) {
        type(vera.doc, word);
        await vera.saved();
      }
      leave(vera);
      expect(vera.doc.clientID).not.toBe(clientID);
      const text = await storedText(storage);
      expect(text).toBe(textOf(vera.doc));
      for (const word of [COMMITTED, ...words]) expect(text).toContain(word.slice(0, 2));
      expect(server.log.filter(({ level }) => level >= ERROR)).toEqual([]);
    },
  );

  test.each(CLAIMS)(
    '[X5] %s: what was committed stays, and a client that was away goes on when it is back',
    async (_name, claim) => {
      const { storage, server, vera } = await claimWhileAway(protocol, claim);
      leave(await connectAs(protocol, server.url, 'vera', vera.doc));
      const back = await connectAs(protocol, server.url, 'vera');
      type(back.doc, ' again');
      await back.saved();
      expect(await storedText(storage)).toMatch(/^mine .* again$|^mine  again$/);
      expect(server.log.filter(({ level }) => level >= ERROR)).toEqual([]);
    },
  );
});

test.each(PROTOCOLS)(
  '[X5] an edit that was on its way when its clocks were claimed harms nobody, over %s',
  async (protocol) => {
    const server = await startServer();
    const [vera, mallory, other] = [
      await joinAs(protocol, server.url, ROOM),
      await joinAs(protocol, server.url, ROOM),
      await joinAs(protocol, server.url, ROOM),
    ];
    vera.type(COMMITTED);
    expect(await vera.ack()).toBe(true);
    // A raw client: hers does not know of the claim, and goes on with the same clocks.
    mallory.send(claimForgotten(vera.doc.clientID, COMMITTED.length, 2));
    expect(await mallory.ack()).toBe(true);
    vera.type('and more');
    expect(await vera.ack()).toBe(true);
    vera.type(', and more');
    expect(await vera.ack()).toBe(true);
    expect(textOf(await other.ask())).toMatch(/^mine /);
    expect(server.log.filter(({ level }) => level >= ERROR)).toEqual([]);
  },
);

test('[X6] a client brings back the edits of others that a database has lost, as its own', async () => {
  const { storage, server, vera } = await meet('y-websocket');
  const rita = await connectAs('hocuspocus', server.url, 'rita');
  expect(textOf(rita.doc)).toBe(COMMITTED);
  leave(rita);
  leave(vera);
  await server.server.close();
  await query(storage, 'delete from indelible.updates');

  const { url } = await startServer({ ...storage, jwtSecret: SECRET });
  await connectAs('y-websocket', url, 'rita', rita.doc);
  const stored = await rebuild(await openStorage(storage), ROOM);
  expect([...(stored?.store.clients.keys() ?? [])]).toEqual([vera.doc.clientID]);
  expect(await storedText(storage)).toBe(COMMITTED);
  expect(await query(storage, 'select author from indelible.updates')).toEqual([{ author: 'rita' }]);
});
