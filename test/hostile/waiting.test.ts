import * as encoding from 'lib0/encoding';
import { beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { claimText } from '../helpers/hostile.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';
import { startServer } from '../helpers/server.ts';

const ROOM = 'hostile/waiting';
const MANY = 5_000;

/** One collected struct of each of many clients, whose edits before it never come. */
function manyClients(): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, MANY);
    for (let client = MANY; client > 0; client -= 1) {
      for (const number of [1, client, 5, 0, 1]) encoding.writeVarUint(encoder, number);
    }
    encoding.writeVarUint(encoder, 0);
  });
}

/** Deletions of what a client has not written. */
function manyDeletions(): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [0, 1, 7, MANY + 1]) encoding.writeVarUint(encoder, number);
    for (let range = 0; range <= MANY; range += 1) {
      encoding.writeVarUint(encoder, range * 2);
      encoding.writeVarUint(encoder, 1);
    }
  });
}

/** Arrays within one another, the outermost of them beside an item that is not there yet. */
function nestedBeside(client: number, clock: number, levels: number): Uint8Array {
  const doc = new Y.Doc();
  let list = doc.getArray<unknown>('list');
  const before = new Y.Doc();
  before.clientID = client;
  before.getArray('list').insert(
    0,
    Array.from({ length: clock + 1 }, () => 0),
  );
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(before));
  const known = Y.encodeStateVector(doc);
  for (let level = 0; level < levels; level += 1) {
    const inner = new Y.Array<unknown>();
    list.push([inner]);
    list = inner;
  }
  return Y.encodeStateAsUpdate(doc, known);
}

describe.each(PROTOCOLS)('edits that wait for missing ones, over %s', (protocol) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await setScene(ROOM);
  });

  test.each([
    ['of too many clients', manyClients()],
    ['that delete too much', manyDeletions()],
  ])('[Q6] %s are not taken, though they are small', async (_what, update) => {
    const attacker = await joinAs(protocol, scene.url, ROOM);
    attacker.send(update);
    const told =
      protocol === 'y-websocket'
        ? (await attacker.client.closed()).reason
        : (await attacker.client.next('denied')).reason;
    expect(told).toBe('too_much_pending');
    await scene.isUnharmed();
  });

  test('[Q6] that lie deep may not make somebody else the one who is refused', async () => {
    const { url } = await startServer();
    const [vera, mallory] = [await joinAs(protocol, url, ROOM), await joinAs(protocol, url, ROOM)];
    const list = vera.doc.getArray('list');
    list.push([0]);
    expect(await vera.ack()).toBe(true);
    mallory.send(nestedBeside(vera.doc.clientID, 1, 501));
    expect(await mallory.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
    const again = await joinAs(protocol, url, ROOM);
    again.send(nestedBeside(vera.doc.clientID, 1, 200));
    expect(await again.ack()).toBe(true);
    list.push([1]);
    expect(await vera.ack()).toBe(true);
    list.delete(0, 2);
    expect(await vera.ack()).toBe(true);
    expect((await again.ask()).getArray('list').length).toBe(1);
  });
});

test.each(PROTOCOLS)(
  '[X4] an edit whose clocks somebody has claimed on its way is in the log under its author, and comes in without the claim, over %s',
  async (protocol) => {
    const storage = await createStorage('postgres');
    const { url, server } = await startServer({
      ...storage,
      auth: ({ token }) => ({ user: token, access: 'write' }),
    });
    const vera = await joinAs(protocol, url, ROOM, 'vera');
    const mallory = await joinAs(protocol, url, ROOM, 'mallory');
    vera.type('hello ');
    expect(await vera.ack()).toBe(true);
    mallory.send(claimText(vera.doc.clientID, 6, 'XXXXXXXXXX'));
    expect(await mallory.ack()).toBe(true);
    // A raw client, which does not know of the claim.
    vera.type('precious');
    expect(await vera.ack()).toBe(true);
    await server.close();
    const { queries } = await openStorage(storage);
    const { rows } = await queries.query('select author from indelible.updates order by id');
    expect(rows).toEqual([{ author: 'vera' }, { author: 'mallory' }, { author: 'vera' }]);
    await queries.query(`update indelible.updates set quarantined = 'operator' where author = 'mallory'`);
    const later = await startServer(storage);
    expect(textOf(await (await joinAs(protocol, later.url, ROOM)).ask())).toBe('hello precious');
  },
);
