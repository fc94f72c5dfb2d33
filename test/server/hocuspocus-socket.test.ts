import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { mintToken } from '../../server/auth/tokens.ts';
import { connectHocuspocus, hocuspocusSocket } from '../helpers/clients.ts';
import { textOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { AT_ONCE_MS } from '../helpers/presence.ts';
import { rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET } from '../helpers/tokens.ts';

const stateVector = Y.encodeStateVector(new Y.Doc());

const openSockets = (url: string) => valueOf(url, 'indelible_connections', { protocol: 'hocuspocus' });

describe('many documents on one Hocuspocus socket', () => {
  test('[W4] hundreds are opened at once, and each is edited by itself', async () => {
    const { url } = await startServer({ limitDocuments: 250 });
    const socket = hocuspocusSocket(url);
    const names = Array.from({ length: 250 }, (_, index) => `many/${index}`);
    const clients = names.map((name) => connectHocuspocus(url, name, { socket }));
    await Promise.all(clients.map((client) => client.synced(20_000)));
    for (const [index, { doc }] of clients.entries()) doc.getText('content').insert(0, `text ${index}`);
    await Promise.all(clients.map((client) => client.saved(20_000)));
    expect(await openSockets(url)).toBe(1);
    expect(clients.flatMap(({ closes }) => closes)).toEqual([]);

    const reader = connectHocuspocus(url, 'many/42');
    await reader.synced();
    expect(textOf(reader.doc)).toBe('text 42');
  });

  test('[W4] closing one leaves the others, and it can be opened again', async () => {
    const { url } = await startServer();
    const socket = hocuspocusSocket(url);
    const [one, two] = ['one', 'two'].map((name) => connectHocuspocus(url, name, { socket })) as [
      ReturnType<typeof connectHocuspocus>,
      ReturnType<typeof connectHocuspocus>,
    ];
    const [readerOfOne, readerOfTwo] = [connectHocuspocus(url, 'one'), connectHocuspocus(url, 'two')];
    await Promise.all([one, two, readerOfOne, readerOfTwo].map((client) => client.synced()));
    one.doc.getText('content').insert(0, 'last words');
    one.destroy();
    await readerOfOne.sees((doc) => textOf(doc) === 'last words');
    await readerOfOne.sees((_doc, awareness) => !awareness.getStates().has(one.doc.clientID), AT_ONCE_MS);
    two.doc.getText('content').insert(0, 'still here');
    await readerOfTwo.sees((doc) => textOf(doc) === 'still here');
    const again = connectHocuspocus(url, 'one', { socket });
    await again.synced();
    expect(textOf(again.doc)).toBe('last words');
    expect(two.closes).toEqual([]);
  });

  test('[W4] one that is closed and opened again at once is open, whether it was open before or still opening', async () => {
    const { url } = await startServer();
    const client = await rawHocuspocus(url);
    const open = () => client.send({ type: 'token', token: '' }, 'one');
    const close = () => client.send({ type: 'close' }, 'one');
    const ask = async () => {
      client.send({ type: 'step1', stateVector }, 'one');
      await client.next('step2');
    };
    open();
    close();
    open();
    await ask();
    close();
    open();
    await ask();
    expect(client.frames.filter(({ type }) => type === 'authenticated')).toHaveLength(3);
    expect(client.frames.filter(({ type }) => type === 'close')).toHaveLength(2);
  });

  test('[W4] refusing one leaves the others', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    const token = await mintToken(SECRET, { sub: 'anna', access: { 'mine/*': 'write' } }, 60);
    const socket = hocuspocusSocket(url);
    const mine = connectHocuspocus(url, 'mine/1', { socket, token });
    const yours = connectHocuspocus(url, 'yours/1', { socket, token });
    await expect(yours.synced()).rejects.toThrow('authentication failed: forbidden');
    mine.doc.getText('content').insert(0, 'mine');
    await mine.saved();
    expect(mine.closes).toEqual([]);
  });

  test('[W4] a document that is closed gets no more frames, and its name answers with its own', async () => {
    const { url } = await startServer();
    const client = await rawHocuspocus(url);
    for (const name of ['one', 'two']) client.send({ type: 'token', token: '' }, name);
    client.send({ type: 'close' }, 'one');
    expect(await client.next('close')).toMatchObject({ address: 'one' });
    const before = client.frames.length;
    const other = connectHocuspocus(url, 'one');
    other.doc.getText('content').insert(0, 'unheard');
    await other.saved();
    client.send({ type: 'step1', stateVector }, 'two');
    expect(await client.next('step2')).toMatchObject({ address: 'two' });
    expect(client.frames.slice(before).map(({ address }) => address)).not.toContain('one');
  });
});

describe('two providers of one document on one Hocuspocus socket', () => {
  test('[W5] edit it, see each other, and leave one by one', async () => {
    const { url } = await startServer();
    const socket = hocuspocusSocket(url);
    const join = () => connectHocuspocus(url, 'shared', { socket, sessionAwareness: true });
    const [anna, bert] = [join(), join()];
    const reader = connectHocuspocus(url, 'shared');
    await Promise.all([anna, bert, reader].map((client) => client.synced()));
    expect(await openSockets(url)).toBe(2);
    anna.doc.getText('content').insert(0, 'a');
    await bert.sees((doc) => textOf(doc) === 'a');
    bert.doc.getText('content').insert(1, 'b');
    await anna.sees((doc) => textOf(doc) === 'ab');
    await Promise.all([anna.saved(), bert.saved()]);

    const isPresent = (of: typeof anna) => (_doc: Y.Doc, awareness: typeof anna.awareness) =>
      awareness.getStates().has(of.doc.clientID);
    await bert.sees(isPresent(anna), AT_ONCE_MS);
    await anna.sees(isPresent(bert), AT_ONCE_MS);
    anna.destroy();
    for (const viewer of [bert, reader]) {
      await viewer.sees((...view) => !isPresent(anna)(...view), AT_ONCE_MS);
      expect(isPresent(bert)(viewer.doc, viewer.awareness)).toBe(true);
    }
    bert.doc.getText('content').insert(2, 'c');
    await bert.saved();
    await reader.sees((doc) => textOf(doc) === 'abc');
  });

  test('[W5] each is acked for its own edits only, and sent those of the other, at its own address', async () => {
    const { url } = await startServer();
    const client = await rawHocuspocus(url);
    const [one, two] = ['shared\0one', 'shared\0two'];
    for (const address of [one, two]) client.send({ type: 'token', token: '' }, address);
    const doc = new Y.Doc();
    doc.getText('content').insert(0, 'hello');
    client.send({ type: 'update', update: Y.encodeStateAsUpdate(doc) }, two);
    expect(await client.next('sync-status')).toMatchObject({ saved: true, address: two });
    client.send({ type: 'update', update: Y.encodeStateAsUpdate(doc) }, one);
    expect(await client.next('sync-status')).toMatchObject({ saved: true, address: one });
    const broadcasts = client.frames.filter((frame) => frame.type === 'update');
    expect(broadcasts.map(({ address }) => address)).toEqual([one]);
    expect(client.frames.filter((frame) => frame.type === 'sync-status')).toHaveLength(2);
  });
});
