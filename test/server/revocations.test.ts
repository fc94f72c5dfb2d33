import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Server } from '../../server/index.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { STORAGE_KINDS, createStorage } from '../helpers/storage.ts';
import { SECRET, askAccess, inSeconds, mint } from '../helpers/tokens.ts';

const REVOKED = { code: 4403, reason: 'revoked' };
/** Other instances ask for revocations every five seconds. */
const HEARD_MS = 10_000;

/** Tokens say in whole seconds when they were issued: this one says a later time than that of any revocation so far. */
const mintLater = (sub: string) => mint({ sub, iat: inSeconds(2) });

let server: Server;
let url: string;
beforeAll(async () => {
  ({ server, url } = await startServer({ jwtSecret: SECRET }));
});

describe.each(PROTOCOLS)('a revocation over %s', (protocol) => {
  const join = async (sub: string, document: string, at = url) =>
    joinAs(protocol, at, document, await mint({ sub }));

  /** Two people in two documents: who of them is sent away, by the revocation of what? */
  test.each<[what: string, revoked: { user?: string; document?: string }, gone: string[]]>([
    ['a user', { user: 'anna' }, ['anna in a', 'anna in b']],
    ['a document', { document: 'a' }, ['anna in a', 'bert in a']],
    ['a user in a document', { user: 'anna', document: 'a' }, ['anna in a']],
    ['somebody who is nowhere', { user: 'nobody' }, []],
  ])(
    '[K7] of %s closes their sockets and refuses their tokens, nobody else’s',
    async (what, revoked, gone) => {
      // Users and documents of this test only, since revocations stay.
      const own = (name: string) => `${name} of ${what.replaceAll(' ', '-')} over ${protocol}`;
      const stays = ['anna in a', 'anna in b', 'bert in a', 'bert in b'].filter((who) => !gone.includes(who));
      const enter = async (who: string) => {
        const [user = '', document = ''] = who.split(' in ');
        const token = await mint({ sub: own(user) });
        const editor = await joinAs(protocol, url, own(document), token);
        editor.send(updateOf(who));
        expect(await editor.ack()).toBe(true);
        return { editor, ask: () => askAccess(url, own(document), token), user, document };
      };
      const leaving = await Promise.all(gone.map(enter));
      const staying = await Promise.all(stays.map(enter));
      await server.revoke({
        ...(revoked.user && { user: own(revoked.user) }),
        ...(revoked.document && { document: own(revoked.document) }),
      });
      for (const { editor, ask } of leaving) {
        expect(await editor.client.closed()).toEqual(REVOKED);
        expect(await ask()).toBe('403 revoked');
      }
      for (const { editor, ask } of staying) {
        editor.send(updateOf('still here'));
        expect(await editor.ack()).toBe(true);
        expect(await ask()).toBe('200 write');
      }
      for (const { user, document } of leaving) {
        const again = await joinAs(protocol, url, own(document), await mintLater(own(user)));
        again.send(updateOf('back'));
        expect(await again.ack()).toBe(true);
      }
    },
  );

  test('[K7] can be made again, for the tokens that were issued since', async () => {
    const user = `twice over ${protocol}`;
    await server.revoke({ user });
    const editor = await joinAs(protocol, url, 'notes', await mintLater(user));
    expect(textOf(await editor.ask())).toBe('');
    await vi.waitFor(async () => {
      await server.revoke({ user });
      expect(await askAccess(url, 'notes', await mint({ sub: user }))).toBe('403 revoked');
      expect(editor.client.socket.readyState).toBe(WebSocket.CLOSED);
    }, HEARD_MS);
    expect(await editor.client.closed()).toEqual(REVOKED);
  });

  test('[K7] reaches a document that is being opened', async () => {
    const { promise: stored, resolve: load } = Promise.withResolvers<null>();
    const onLoad = vi.fn<() => Promise<null>>(() => stored);
    const opening = await startServer({ jwtSecret: SECRET, onLoad });
    const editor = await join('anna', 'slow', opening.url);
    editor.type('too late');
    await vi.waitFor(() => expect(onLoad).toHaveBeenCalled());
    await opening.server.revoke({ user: 'anna' });
    load(null);
    expect(await editor.client.closed()).toEqual(REVOKED);
    expect(editor.acks()).toEqual([]);
    const reader = await join('bert', 'slow', opening.url);
    expect(textOf(await reader.ask())).toBe('');
  });

  test('[K7] reaches the sockets of other instances, and their doors', async () => {
    const storage = await createStorage('postgres');
    const [here, there] = await Promise.all([
      startServer({ ...storage, jwtSecret: SECRET }),
      startServer({ ...storage, jwtSecret: SECRET }),
    ]);
    const [anna, bert] = [await join('anna', 'notes', there.url), await join('bert', 'notes', there.url)];
    const token = await mint({ sub: 'anna' });
    await anna.ask();
    await here.server.revoke({ user: 'anna' });
    expect(await anna.client.closed(HEARD_MS)).toEqual(REVOKED);
    expect(await askAccess(there.url, 'notes', token)).toBe('403 revoked');
    bert.type('still here');
    expect(await bert.ack()).toBe(true);
  });
});

test.each(STORAGE_KINDS)('[K7] a revocation outlasts a restart, on %s', async (kind) => {
  const options = { ...(await createStorage(kind)), jwtSecret: SECRET };
  const before = await startServer(options);
  const tokens = await Promise.all(['anna', 'bert'].map((sub) => mint({ sub })));
  const askAll = (at: string) =>
    Promise.all(['a', 'b'].flatMap((name) => tokens.map((token) => askAccess(at, name, token))));
  await before.server.revoke({ user: 'anna', document: 'a' });
  await before.server.revoke({ user: 'bert' });
  const answers = ['403 revoked', '403 revoked', '200 write', '403 revoked'];
  expect(await askAll(before.url)).toEqual(answers);
  await before.server.close();
  const after = await startServer(options);
  expect(await askAll(after.url)).toEqual(answers);
  expect(await askAccess(after.url, 'a', await mintLater('anna'))).toBe('200 write');
});

test('[K7] on a Hocuspocus socket one document is taken by name, and the others stay', async () => {
  const client = await rawHocuspocus(url);
  for (const name of ['shared/one', 'shared/two']) {
    client.send({ type: 'token', token: await mint({ sub: 'sharing' }) }, name);
    await client.next('authenticated');
  }
  await server.revoke({ document: 'shared/one', user: 'sharing' });
  expect(await client.next('denied')).toMatchObject({ address: 'shared/one', reason: 'revoked' });
  client.send({ type: 'update', update: updateOf('lost') }, 'shared/one');
  client.send({ type: 'update', update: updateOf('kept') }, 'shared/two');
  expect(await client.next('sync-status')).toMatchObject({ address: 'shared/two', saved: true });
  const reader = await joinAs('hocuspocus', url, 'shared/one', await mint());
  expect(textOf(await reader.ask())).toBe('');
  await server.revoke({ user: 'sharing' });
  expect(await client.closed()).toEqual(REVOKED);
});

test('[K7] a token that does not say when it was issued counts as issued before', async () => {
  const token = await mint({ sub: 'undated', iat: undefined });
  expect(await askAccess(url, 'notes', token)).toBe('200 write');
  await server.revoke({ user: 'undated' });
  expect(await askAccess(url, 'notes', token)).toBe('403 revoked');
});

test('[K7] the provider of y-websocket stops', async () => {
  const client = connectYWebsocket(url, 'stops', { token: await mint({ sub: 'stopping' }) });
  await client.synced();
  await server.revoke({ user: 'stopping' });
  await client.closed();
  expect(client.closes).toEqual([REVOKED]);
  expect(client.provider.shouldConnect).toBe(false);
});

test('[K7] where a program decides, sockets close and it is asked again', async () => {
  const program = await startServer({ auth: ({ token }) => ({ user: token, access: 'write' }) });
  const editor = await joinAs('y-websocket', program.url, 'notes', 'anna');
  await editor.ask();
  await program.server.revoke({ user: 'anna' });
  expect(await editor.client.closed()).toEqual(REVOKED);
  const again = await joinAs('y-websocket', program.url, 'notes', 'anna');
  again.type('hello');
  expect(await again.ack()).toBe(true);
});

test.each<[what: string, request: { user?: string; document?: string }, code: string]>([
  ['nothing', {}, 'bad_revocation'],
  ['nobody', { user: '' }, 'bad_revocation'],
  ['a user with a line break', { user: 'anna\n' }, 'bad_revocation'],
  ['a user who is too long', { user: 'a'.repeat(256), document: 'notes' }, 'bad_revocation'],
  ['no document', { document: '' }, 'bad_name'],
  ['a name of no document', { user: 'anna', document: 'a//b' }, 'bad_name'],
])('[K7] a revocation of %s is refused', async (_what, request, code) => {
  await expect(server.revoke(request)).rejects.toMatchObject({ name: 'IndelibleError', code });
});

test('[K7] while the database is away nothing is revoked, and the caller knows', async () => {
  const cluster = await startPostgres();
  const away = await startServer({ databaseUrl: cluster.url, jwtSecret: SECRET });
  const token = await mint();
  const revoked = await mint({ sub: 'bert' });
  await away.server.revoke({ user: 'bert' });
  await cluster.stop('immediate');
  await expect(away.server.revoke({ user: 'anna' })).rejects.toBeInstanceOf(Error);
  expect(await askAccess(away.url, 'notes', token)).toBe('200 write');
  expect(await askAccess(away.url, 'notes', revoked)).toBe('403 revoked');
});

test('[K7] takes back what a program has granted while the document was opening', async () => {
  const { promise: stored, resolve: load } = Promise.withResolvers<null>();
  const onLoad = vi.fn<() => Promise<null>>(() => stored);
  const own = await startServer({ onLoad, auth: ({ token }) => ({ user: token, access: 'write' }) });
  const [mallory, anna] = await Promise.all(
    ['mallory', 'anna'].map((user) => joinAs('y-websocket', own.url, 'notes', user)),
  );
  await vi.waitFor(() => expect(onLoad).toHaveBeenCalled());
  await own.server.revoke({ user: 'mallory' });
  load(null);
  expect(await mallory?.client.closed()).toEqual(REVOKED);
  anna?.type('still here');
  expect(await anna?.ack()).toBe(true);
  // The program decides about who comes back.
  const back = await joinAs('y-websocket', own.url, 'notes', 'mallory');
  back.type('again');
  expect(await back.ack()).toBe(true);
});
