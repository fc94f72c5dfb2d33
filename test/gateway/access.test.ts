import { SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { mintToken } from '../../server/auth/tokens.ts';
import { type Protocol, PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { UpgradeRefused, rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';

const SECRET = 'a key that is long enough for HS256, of 32 characters';
const OTHER_SECRET = 'a key that is long enough, too, but is not the one';

type Outcome = 'writes' | 'reads' | 'unauthorized' | 'token_expired' | 'forbidden';

const access = (pattern: string, level: 'read' | 'write') => ({ sub: 'anna', access: { [pattern]: level } });
const key = (secret: string) => new TextEncoder().encode(secret);

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token whose header says that it needs no signature. */
function unsigned(): string {
  const exp = Math.floor(Date.now() / 1000) + 60;
  return `${part({ alg: 'none' })}.${part({ ...access('**', 'write'), exp })}.`;
}

const TOKENS: Array<[name: string, make: () => string | Promise<string>, outcome: Outcome]> = [
  ['none', () => '', 'unauthorized'],
  ['garbage', () => 'garbage', 'unauthorized'],
  ['an expired one', () => mintToken(SECRET, access('**', 'write'), -120), 'token_expired'],
  ['one of another key', () => mintToken(OTHER_SECRET, access('**', 'write'), 60), 'unauthorized'],
  ['an unsigned one', unsigned, 'unauthorized'],
  [
    'one of another algorithm',
    () =>
      new SignJWT(access('**', 'write'))
        .setProtectedHeader({ alg: 'HS384' })
        .setExpirationTime('1m')
        .sign(key(SECRET)),
    'unauthorized',
  ],
  [
    'one without an end',
    () => new SignJWT(access('**', 'write')).setProtectedHeader({ alg: 'HS256' }).sign(key(SECRET)),
    'unauthorized',
  ],
  [
    'one for nobody',
    () =>
      new SignJWT({ access: { '**': 'write' } })
        .setProtectedHeader({ alg: 'HS256' })
        .setExpirationTime('1m')
        .sign(key(SECRET)),
    'unauthorized',
  ],
  ['one for another document', () => mintToken(SECRET, access('notes/yesterday', 'write'), 60), 'forbidden'],
  ['one for no document', () => mintToken(SECRET, { sub: 'anna', access: {} }, 60), 'forbidden'],
  ['one to read', () => mintToken(SECRET, access('notes/*', 'read'), 60), 'reads'],
  ['one to write', () => mintToken(SECRET, access('notes/*', 'write'), 60), 'writes'],
];

/** How far somebody gets with a token. */
async function tryAs(protocol: Protocol, url: string, name: string, token: string): Promise<string> {
  const refusal = await (protocol === 'hocuspocus' ? refusalByFrame : refusalByStatus)(url, name, token);
  if (refusal !== null) return refusal;
  const editor = await joinAs(protocol, url, name, token);
  const text = textOf(await editor.ask());
  editor.type(`by ${protocol}`);
  if (await editor.ack()) return 'writes';
  return text === 'secret' ? 'reads' : 'gets in, and nothing more';
}

async function refusalByFrame(url: string, name: string, token: string): Promise<string | null> {
  const client = await rawHocuspocus(url);
  client.send({ type: 'token', token }, name);
  const answer = await Promise.race([client.next('denied'), client.next('authenticated')]);
  return answer.type === 'denied' ? answer.reason : null;
}

async function refusalByStatus(url: string, name: string, token: string): Promise<string | null> {
  try {
    await rawYWebsocket(`${url}/${name}?token=${token}`);
    return null;
  } catch (error) {
    if (error instanceof UpgradeRefused) return error.body.trim();
    throw error;
  }
}

describe.each(PROTOCOLS)('with a key, over %s', (protocol) => {
  let url: string;
  beforeAll(async () => {
    ({ url } = await startServer({ jwtSecret: SECRET }));
  });

  test.each(TOKENS)('[G5] the bearer of %s: %3$s', async (name, make, outcome) => {
    const document = `notes/${name.replaceAll(' ', '-')}`;
    const owner = await joinAs(protocol, url, document, await mintToken(SECRET, access('**', 'write'), 60));
    owner.type('secret');
    expect(await owner.ack()).toBe(true);
    expect(await tryAs(protocol, url, document, await make())).toBe(outcome);
    expect(textOf(await owner.ask())).toMatch(outcome === 'writes' ? /by/ : /^secret$/);
  });
});

describe.each(PROTOCOLS)('without a key, over %s', (protocol) => {
  let url: string;
  beforeAll(async () => {
    ({ url } = await startServer());
  });

  test.each(TOKENS)('[G5] the bearer of %s writes', async (_name, make) => {
    expect(await tryAs(protocol, url, 'notes/today', await make())).toBe('writes');
  });
});

test('[G5] a token may come in the Authorization header of an upgrade', async () => {
  const { url } = await startServer({ jwtSecret: SECRET });
  const headers = { Authorization: `Bearer ${await mintToken(SECRET, access('notes/*', 'read'), 60)}` };
  const client = await rawYWebsocket(`${url}/notes/today`, { headers });
  client.send({ type: 'query-awareness' });
  expect(await client.next('awareness')).toBeDefined();
  await expect(rawYWebsocket(`${url}/other`, { headers })).rejects.toMatchObject({ status: 403 });
});

test('[G5] a Hocuspocus client is told whether it may write', async () => {
  const { url } = await startServer({ jwtSecret: SECRET });
  const client = await rawHocuspocus(url);
  const scopes = [];
  for (const [name, level] of [
    ['a', 'read'],
    ['b', 'write'],
  ] as const) {
    client.send({ type: 'token', token: await mintToken(SECRET, access(name, level), 60) }, name);
    scopes.push((await client.next('authenticated')).scope);
  }
  expect(scopes).toEqual(['readonly', 'read-write']);
});
