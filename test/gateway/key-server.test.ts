import { createSecretKey } from 'node:crypto';
import { exportSPKI } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import { atTestEnd } from '../helpers/cleanup.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { type ProviderKey, createKey, startKeyServer } from '../helpers/key-server.ts';
import { rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { askAccess, inSeconds, mint, mintUnsigned } from '../helpers/tokens.ts';

const NOTES = 'notes/today';

/** A server whose tokens an identity provider signs, with keys of its own. */
async function startWithKeys(...keys: ProviderKey[]) {
  const keyServer = await startKeyServer(...keys);
  const { url, log } = await startServer({ jwksUrl: keyServer.jwksUrl });
  return { keyServer, url, log, ask: (token: string) => askAccess(url, NOTES, token) };
}

/** What a Hocuspocus socket is told. */
async function tryByFrame(url: string, token: string) {
  const client = await rawHocuspocus(url);
  client.send({ type: 'token', token }, NOTES);
  return { denied: (await client.next('denied')).reason, closed: await client.closed() };
}

/** Keys are asked for again after ten minutes. */
function letTimePass(milliseconds: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + milliseconds });
  atTestEnd(() => vi.useRealTimers());
}

describe('tokens of an identity provider', () => {
  test.each(['RS256', 'ES256', 'EdDSA'])('[K2] of %s are checked with its key', async (alg) => {
    const [key, other] = [await createKey(alg, 'one'), await createKey(alg, 'one')];
    const { ask } = await startWithKeys(key);
    expect(await ask(await key.mint())).toBe('200 write');
    expect(await ask(await other.mint())).toBe('401 unauthorized');
    expect(await ask(await key.mint({ exp: inSeconds(-120) }))).toBe('401 token_expired');
  });

  test('[K3] of no other algorithm pass, also when a public key is taken for a secret', async () => {
    const key = await createKey('RS256', 'one');
    const { ask, keyServer } = await startWithKeys(key);
    const secrets = [
      await exportSPKI(key.publicKey),
      JSON.stringify(key.jwk),
      createSecretKey(key.jwk.n ?? '', 'base64url').export(),
    ];
    for (const secret of secrets) {
      for (const kid of ['one', undefined]) {
        expect(await ask(await mint({}, { key: secret, ...(kid !== undefined && { kid }) }))).toBe(
          '401 unauthorized',
        );
      }
    }
    expect(await ask(mintUnsigned())).toBe('401 unauthorized');
    for (const alg of ['RS512', 'PS256', 'ES384']) {
      const strong = await createKey(alg, 'strong');
      keyServer.publish(key, strong);
      expect(await ask(await strong.mint())).toBe('401 unauthorized');
    }
    expect(await ask(await key.mint())).toBe('200 write');
  });

  test('[K2] are checked without asking for the keys each time', async () => {
    const key = await createKey('ES256', 'one');
    const { ask, url, keyServer } = await startWithKeys(key);
    const token = await key.mint();
    await Promise.all(Array.from({ length: 10 }, () => ask(token)));
    for (const protocol of PROTOCOLS) {
      const editor = await joinAs(protocol, url, NOTES, token);
      editor.type('hello');
      expect(await editor.ack()).toBe(true);
    }
    expect(keyServer.requests()).toBe(1);
  });

  test('[K2] of a new key pass without a restart, and those of one that is gone do not', async () => {
    const [before, after] = [await createKey('ES256', 'before'), await createKey('ES256', 'after')];
    const { ask, url, keyServer } = await startWithKeys(before);
    expect(await ask(await before.mint())).toBe('200 write');
    keyServer.publish(after);
    // Many at once, who have to wait until the keys may be asked for again.
    const token = await after.mint();
    const [answers, editor] = await Promise.all([
      Promise.all(Array.from({ length: 5 }, () => ask(token))),
      joinAs('y-websocket', url, NOTES, token),
    ]);
    expect(new Set(answers)).toEqual(new Set(['200 write']));
    editor.type('hello');
    expect(await editor.ack()).toBe(true);
    expect(keyServer.requests()).toBe(2);
    expect(await ask(await before.mint())).toBe('401 unauthorized');
    expect(keyServer.requests()).toBe(3);
  });

  test('[K2] that do not name their key pass with any that is published, also with a new one', async () => {
    const [one, two, three] = [await createKey('ES256'), await createKey('ES256'), await createKey('ES256')];
    const { ask, keyServer } = await startWithKeys(one, two);
    expect(await ask(await one.mint())).toBe('200 write');
    expect(await ask(await two.mint())).toBe('200 write');
    expect(await ask(await two.mint({ exp: inSeconds(-120) }))).toBe('401 token_expired');
    const [unknown, asked] = [await three.mint(), keyServer.requests()];
    expect(await ask(unknown)).toBe('401 unauthorized');
    keyServer.publish(three);
    expect(await ask(unknown)).toBe('200 write');
    expect(keyServer.requests()).toBe(asked + 2);
  });
});

describe('while the key server cannot be asked', () => {
  test.each(['is away', 'says garbage', 'is silent'] as const)(
    '[K2] and has never been (it %s), clients are told to come back, and do',
    async (how) => {
      const key = await createKey('ES256', 'one');
      const { keyServer, url, ask, log } = await startWithKeys(key);
      if (how === 'is away') await keyServer.stop();
      else keyServer.say(how === 'is silent' ? 'silence' : 'garbage');
      const token = await key.mint();
      const clients = [
        connectYWebsocket(url, NOTES, { token, headers: { Origin: url } }),
        connectHocuspocus(url, NOTES, { token }),
      ] as const;
      // Together, since a silent server is waited for.
      const [http, upgrade, socket] = await Promise.all([
        ask(token),
        rawYWebsocket(`${url}/${NOTES}?token=${token}`).catch((error: unknown) => error),
        tryByFrame(url, token),
        ...clients.map((client) => client.closed()),
      ]);
      expect(http).toBe('503 auth_unavailable');
      expect(upgrade).toMatchObject({ status: 503, body: 'auth_unavailable\n' });
      const closed = { code: 4503, reason: 'auth_unavailable' };
      expect(socket).toEqual({ denied: 'auth_unavailable', closed });
      for (const { closes } of clients) expect(closes[0]).toEqual(closed);
      expect(log.some(({ msg }) => msg === 'the key server cannot be asked')).toBe(true);

      keyServer.publish(key);
      if (how === 'is away') await keyServer.start();
      for (const { doc } of clients) doc.getText('content').insert(0, '!');
      for (const client of clients) await client.sees((doc) => textOf(doc) === '!!');
    },
  );

  test('[K2] known keys serve on, and a token of an unknown one is told to come back', async () => {
    const [known, unknown] = [await createKey('ES256', 'known'), await createKey('ES256', 'unknown')];
    const { keyServer, ask } = await startWithKeys(known);
    expect(await ask(await known.mint())).toBe('200 write');
    await keyServer.stop();
    expect(await ask(await unknown.mint())).toBe('503 auth_unavailable');
    expect(await ask(await known.mint())).toBe('200 write');
    keyServer.publish(known, unknown);
    await keyServer.start();
    expect(await ask(await unknown.mint())).toBe('200 write');
  });

  test('[K2] known keys serve on after their time, also for tokens that do not name theirs', async () => {
    const keys = [await createKey('ES256'), await createKey('ES256')];
    const { keyServer, ask } = await startWithKeys(...keys);
    const tokens = await Promise.all(keys.map((key) => key.mint({ exp: inSeconds(3600) })));
    for (const token of tokens) expect(await ask(token)).toBe('200 write');
    await keyServer.stop();
    letTimePass(11 * 60_000);
    for (const token of tokens) expect(await ask(token)).toBe('200 write');
    expect(await ask(await (await createKey('ES256')).mint())).toBe('503 auth_unavailable');
  });
});

test('[K2] a key that was taken back ends after ten minutes', async () => {
  const [kept, taken] = [await createKey('ES256', 'kept'), await createKey('ES256', 'taken')];
  const { keyServer, ask } = await startWithKeys(kept, taken);
  const tokens = await Promise.all([kept, taken].map((key) => key.mint({ exp: inSeconds(3600) })));
  const askAll = () => Promise.all(tokens.map(ask));
  expect(await askAll()).toEqual(['200 write', '200 write']);
  keyServer.publish(kept);
  letTimePass(9 * 60_000);
  expect(await askAll()).toEqual(['200 write', '200 write']);
  letTimePass(2 * 60_000);
  expect(await askAll()).toEqual(['200 write', '401 unauthorized']);
});
