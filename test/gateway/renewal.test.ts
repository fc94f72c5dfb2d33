import { describe, expect, test, vi } from 'vitest';
import { connectHocuspocus, connectYWebsocket, hocuspocusSocket } from '../helpers/clients.ts';
import { type Editor, PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { encodeFrame } from '../helpers/frames.ts';
import { createKey, startKeyServer } from '../helpers/key-server.ts';
import { rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { type Claims, SECRET, inSeconds, mint } from '../helpers/tokens.ts';

const NOTES = 'notes/today';
const READ = { access: { [NOTES]: 'read' } };

const expiring = (seconds: number): Claims => ({ exp: inSeconds(seconds) });

/** Brings another token, as a frame. */
function renew({ client }: Editor, token: string): void {
  client.send({ type: 'token', token }, NOTES);
}

/** Whether an edit is taken in; each has something new. */
function writes(editor: Editor): Promise<boolean> {
  editor.send(updateOf('x'));
  return editor.ack();
}

const start = () => startServer({ jwtSecret: SECRET });

describe.each(PROTOCOLS)('another token over %s', (protocol) => {
  test('[K5] extends: the end of the one before goes by', async () => {
    const { url } = await start();
    const short = await mint(expiring(3));
    const [renewed, other] = [
      await joinAs(protocol, url, NOTES, short),
      await joinAs(protocol, url, NOTES, short),
    ];
    expect(await writes(renewed)).toBe(true);
    renew(renewed, await mint());
    await other.client.closed();
    await renewed.client.settled();
    expect(await writes(renewed)).toBe(true);
  });

  test('[K5] shortens: its own end counts', async () => {
    const { url } = await start();
    const editor = await joinAs(protocol, url, NOTES, await mint());
    expect(await writes(editor)).toBe(true);
    renew(editor, await mint(expiring(3)));
    expect(await editor.client.closed()).toEqual({ code: 4401, reason: 'token_expired' });
  });

  test('[K5] narrows and widens at once', async () => {
    const { url } = await start();
    const editor = await joinAs(protocol, url, NOTES, await mint());
    expect(await writes(editor)).toBe(true);
    for (const [claims, mayWrite] of [
      [READ, false],
      [{}, true],
      [READ, false],
    ] as const) {
      renew(editor, await mint(claims));
      // A y-websocket client is not told when it has been judged.
      await vi.waitFor(async () => expect(await writes(editor)).toBe(mayWrite));
    }
    expect(await writes(editor)).toBe(false);
  });

  test.each<[what: string, token: () => string | Promise<string>, code: number, reason: string]>([
    ['of another user', () => mint({ sub: 'bert' }), 4403, 'forbidden'],
    ['for another document', () => mint({ access: { other: 'write' } }), 4403, 'forbidden'],
    ['for no document', () => mint({ access: undefined }), 4403, 'forbidden'],
    [
      'of another key',
      () => mint({}, { key: 'another key, of more than 32 characters' }),
      4401,
      'unauthorized',
    ],
    ['that is none', () => 'garbage', 4401, 'unauthorized'],
    ['that is empty', () => '', 4401, 'unauthorized'],
    ['that has expired', () => mint(expiring(-120)), 4401, 'token_expired'],
  ])('[K5] %s closes the socket', async (_what, token, code, reason) => {
    const { url } = await start();
    const editor = await joinAs(protocol, url, NOTES, await mint());
    expect(await writes(editor)).toBe(true);
    renew(editor, await token());
    expect(await editor.client.closed()).toEqual({ code, reason });
  });

  test('[K5] that was revoked closes the socket, though the one before was issued later', async () => {
    const { url, server } = await start();
    await server.revoke({ user: 'anna' });
    const editor = await joinAs(protocol, url, NOTES, await mint({ iat: inSeconds(5) }));
    expect(await writes(editor)).toBe(true);
    renew(editor, await mint({ iat: inSeconds(-5) }));
    expect(await editor.client.closed()).toEqual({ code: 4403, reason: 'revoked' });
  });

  test('[K5] that comes while the document is opening counts when it is open', async () => {
    const { promise: stored, resolve: load } = Promise.withResolvers<null>();
    const onLoad = vi.fn<() => Promise<null>>(() => stored);
    const { url } = await startServer({ jwtSecret: SECRET, onLoad });
    const editor = await joinAs(protocol, url, NOTES, await mint());
    await vi.waitFor(() => expect(onLoad).toHaveBeenCalled());
    renew(editor, await mint({ sub: 'bert' }));
    await editor.client.settled();
    load(null);
    expect(await editor.client.closed()).toEqual({ code: 4403, reason: 'forbidden' });
  });

  test('[D5] tokens that wait for a document to open are limited like all that waits', async () => {
    const { promise: stored, resolve: load } = Promise.withResolvers<null>();
    const { url } = await startServer({ jwtSecret: SECRET, limitWaitingBytes: 4096, onLoad: () => stored });
    const editor = await joinAs(protocol, url, NOTES, await mint());
    for (let count = 0; count < 3; count += 1) renew(editor, 'x'.repeat(2_000));
    expect(await editor.client.closed()).toEqual({ code: 1013, reason: 'too_many_waiting' });
    load(null);
  });

  test('[K5] that cannot be judged leaves the one before to its end, which says to come back', async () => {
    const [known, unknown] = [await createKey('ES256', 'known'), await createKey('ES256', 'unknown')];
    const keyServer = await startKeyServer(known);
    const { url } = await startServer({ jwksUrl: keyServer.jwksUrl });
    const editor = await joinAs(protocol, url, NOTES, await known.mint(expiring(6)));
    expect(await writes(editor)).toBe(true);
    await keyServer.stop();
    renew(editor, await unknown.mint());
    expect(await writes(editor)).toBe(true);
    expect(await editor.client.closed()).toEqual({ code: 4503, reason: 'auth_unavailable' });
  });

  test('[K5] that cannot be judged says nothing about a later one that can', async () => {
    const [known, unknown] = [await createKey('ES256', 'known'), await createKey('ES256', 'unknown')];
    const keyServer = await startKeyServer(known);
    const { url, log } = await startServer({ jwksUrl: keyServer.jwksUrl });
    const editor = await joinAs(protocol, url, NOTES, await known.mint());
    expect(await writes(editor)).toBe(true);
    await keyServer.stop();
    renew(editor, await unknown.mint());
    renew(editor, await known.mint(expiring(6)));
    expect(await editor.client.closed()).toEqual({ code: 4401, reason: 'token_expired' });
    // The first was still being judged when the second was taken.
    expect(log.filter(({ msg }) => msg === 'the key server cannot be asked')).toHaveLength(1);
  });
});

test('[K5] a Hocuspocus client is told what another token allows, and so it is from then on', async () => {
  const { url } = await start();
  const editor = await joinAs('hocuspocus', url, NOTES, await mint());
  const seen: unknown[] = [];
  for (const claims of [undefined, READ, {}]) {
    if (claims !== undefined) renew(editor, await mint(claims));
    const { scope } = await editor.client.next('authenticated');
    seen.push([scope, await writes(editor)]);
  }
  expect(seen).toEqual([
    ['read-write', true],
    ['readonly', false],
    ['read-write', true],
  ]);
});

describe('another token on a Hocuspocus socket with other documents', () => {
  test('[K5] that is bad takes its own document, by name', async () => {
    const { url } = await start();
    const client = await rawHocuspocus(url);
    for (const name of [NOTES, 'other']) {
      client.send({ type: 'token', token: await mint() }, name);
      await client.next('authenticated');
    }
    client.send({ type: 'token', token: await mint({ sub: 'bert' }) }, NOTES);
    expect(await client.next('denied')).toMatchObject({ address: NOTES, reason: 'forbidden' });
    client.send({ type: 'update', update: updateOf('lost') }, NOTES);
    client.send({ type: 'update', update: updateOf('kept') }, 'other');
    expect(await client.next('sync-status')).toMatchObject({ address: 'other', saved: true });
    const reader = await joinAs('hocuspocus', url, NOTES, await mint());
    expect(textOf(await reader.ask())).toBe('');
  });

  test('[K5] that cannot be judged closes it at the end, since providers come back with their socket only', async () => {
    const [known, unknown] = [await createKey('ES256', 'known'), await createKey('ES256', 'unknown')];
    const keyServer = await startKeyServer(known);
    const { url } = await startServer({ jwksUrl: keyServer.jwksUrl });
    const client = await rawHocuspocus(url);
    client.send({ type: 'token', token: await known.mint() }, 'other');
    client.send({ type: 'token', token: await known.mint(expiring(5)) }, NOTES);
    for (let count = 0; count < 2; count += 1) await client.next('authenticated');
    await keyServer.stop();
    client.send({ type: 'token', token: await unknown.mint() }, NOTES);
    expect(await client.closed()).toEqual({ code: 4503, reason: 'auth_unavailable' });
  });
});

describe('an unmodified provider', () => {
  test('[K5] of Hocuspocus renews with sendToken', async () => {
    const { url } = await start();
    const claims: Claims[] = [expiring(3), {}, READ];
    const scopes: string[] = [];
    const client = connectHocuspocus(url, NOTES, { token: () => mint(claims.shift()) });
    client.provider.on('authenticated', ({ scope }: { scope: string }) => scopes.push(scope));
    await client.synced();
    const other = connectYWebsocket(url, NOTES, { token: await mint(expiring(3)) });
    await other.synced();
    await client.provider.sendToken();
    await other.closed();
    client.doc.getText('content').insert(0, 'still here');
    await client.saved();
    expect(client.closes).toEqual([]);
    await client.provider.sendToken();
    await vi.waitFor(() => expect(scopes).toEqual(['read-write', 'read-write', 'readonly']));
    expect(client.provider.authorizedScope).toBe('readonly');
  });

  test('[K5] of y-websocket renews with a frame of its program', async () => {
    const { url } = await start();
    const connect = async () => connectYWebsocket(url, NOTES, { token: await mint(expiring(3)), acks: true });
    const [client, other] = [await connect(), await connect()];
    await client.synced();
    client.provider.ws?.send(
      new Uint8Array(encodeFrame('y-websocket', { type: 'token', token: await mint() })),
    );
    await other.closed();
    client.doc.getText('content').insert(0, 'still here');
    await client.saved();
    expect(client.closes).toEqual([]);
  });
});

test('[K5] that comes too late opens the document anew, with everything that was typed meanwhile', async () => {
  const { url } = await startServer({ jwtSecret: SECRET });
  const socket = hocuspocusSocket(url);
  const tokens = [await mint(expiring(2)), await mint()];
  const other = connectHocuspocus(url, 'other', { socket, token: await mint() });
  const client = connectHocuspocus(url, NOTES, { socket, token: async () => tokens[0] ?? '' });
  await Promise.all([other.synced(), client.synced()]);
  await client.closed();
  client.doc.getText('content').insert(0, 'meanwhile');
  tokens.shift();
  await client.provider.sendToken();
  await client.sees(() => client.provider.synced);
  await client.sees(() => client.provider.unsyncedChanges === 0);
  client.doc.getText('content').insert(0, 'and after ');
  const reader = connectYWebsocket(url, NOTES, { token: await mint() });
  await reader.sees((doc) => textOf(doc) === 'and after meanwhile');
  expect(other.closes).toEqual([]);
});
