import { beforeAll, describe, expect, test } from 'vitest';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, inSeconds, mint } from '../helpers/tokens.ts';

const EXPIRED = { code: 4401, reason: 'token_expired' };

let url: string;
beforeAll(async () => {
  ({ url } = await startServer({ jwtSecret: SECRET }));
});

describe.each(PROTOCOLS)('the end of a token over %s', (protocol) => {
  test.each([
    ['at its end', 3, 3],
    ['a minute later, if it had ended before by our clock', -57, 3],
  ])('[K4] closes the socket %s, and what was acked is kept', async (_when, exp, end) => {
    const name = `expiry/${protocol} ${exp}`;
    const endsAt = inSeconds(end) * 1000;
    const editor = await joinAs(protocol, url, name, await mint({ exp: inSeconds(exp) }));
    editor.type('in time');
    expect(await editor.ack()).toBe(true);
    expect(await editor.client.closed()).toEqual(EXPIRED);
    expect(Date.now()).toBeGreaterThanOrEqual(endsAt);
    const reader = await joinAs(protocol, url, name, await mint());
    expect(textOf(await reader.ask())).toBe('in time');
  });
});

describe('documents on one Hocuspocus socket', () => {
  test('[K4] end one by one, by name; the socket closes with the last', async () => {
    const client = await rawHocuspocus(url);
    for (const [name, exp] of [
      ['first', 3],
      ['second', 4],
      ['last', 6],
    ] as const) {
      client.send({ type: 'token', token: await mint({ exp: inSeconds(exp) }) }, name);
      await client.next('authenticated');
    }
    for (const address of ['first', 'second']) {
      expect(await client.next('denied')).toMatchObject({ address, reason: 'token_expired' });
      expect(await client.next('close')).toMatchObject({ address });
      client.send({ type: 'update', update: updateOf(`after ${address}`) }, 'last');
      expect(await client.next('sync-status')).toMatchObject({ address: 'last', saved: true });
    }
    expect(await client.closed()).toEqual(EXPIRED);
  });

  test('[K4] one that has ended can be opened again with another token', async () => {
    const client = await rawHocuspocus(url);
    client.send({ type: 'token', token: await mint() }, 'stays');
    client.send({ type: 'token', token: await mint({ exp: inSeconds(3) }) }, 'again');
    expect(await client.next('denied')).toMatchObject({ address: 'again', reason: 'token_expired' });
    client.send({ type: 'token', token: await mint() }, 'again');
    client.send({ type: 'update', update: updateOf('hello') }, 'again');
    expect(await client.next('sync-status')).toMatchObject({ address: 'again', saved: true });
  });
});

describe('an unmodified provider', () => {
  test('[K4] of Hocuspocus comes back by itself, with the token that it fetches then', async () => {
    const lifetimes = [3, 60];
    const client = connectHocuspocus(url, 'expiry/provider', {
      token: () => mint({ exp: inSeconds(lifetimes.shift() ?? 60) }),
    });
    await client.synced();
    await client.closed();
    expect(client.closes[0]).toEqual(EXPIRED);
    client.doc.getText('content').insert(0, 'after');
    const reader = connectYWebsocket(url, 'expiry/provider', { token: await mint() });
    await reader.sees((doc) => textOf(doc) === 'after');
    await client.saved();
    expect(lifetimes).toEqual([]);
  });

  test('[K4] of y-websocket stops, so that its program gives it another token', async () => {
    const client = connectYWebsocket(url, 'expiry/stops', { token: await mint({ exp: inSeconds(3) }) });
    await client.closed();
    expect(client.closes).toEqual([EXPIRED]);
    expect(client.provider.shouldConnect).toBe(false);
    client.provider.params['token'] = await mint();
    client.provider.connect();
    await client.sees(() => client.provider.synced);
  });
});
