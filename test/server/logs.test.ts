import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { mintToken } from '../../server/auth/tokens.ts';
import { createLog } from '../../server/log.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { joinAs, updateOf, type Editor } from '../helpers/editor.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { readiness } from '../helpers/readiness.ts';
import { spawnServer, type ServerProcess } from '../helpers/server.ts';
import { createStorage, openStorage } from '../helpers/storage.ts';
import { SECRET as JWT_SECRET } from '../helpers/tokens.ts';

const TEXT = 'Sphinx of black quartz, judge my vow';
const NAME = 'logs/page';

/** Everything that must not be in a log, by what it is. */
type Secrets = Record<string, string>;

/** The text as it could be spelt in a log line. */
const spellings = (text: string) => ({
  text,
  'text in hex': Buffer.from(text).toString('hex'),
  'text in base64': Buffer.from(text).toString('base64').slice(4, -4),
  'text as bytes': [...Buffer.from(text)].join(','),
});

function expectSilence(lines: string[], secrets: Secrets): void {
  for (const [what, secret] of Object.entries(secrets)) {
    expect(
      lines.filter((line) => line.includes(secret)),
      what,
    ).toEqual([]);
    // The third part of a token signs it.
    const signature = secret.split('.')[2] ?? secret;
    expect(
      lines.filter((line) => line.includes(signature)),
      `signature of ${what}`,
    ).toEqual([]);
  }
}

test('[H2] at the level trace, with everything going wrong that can, no line holds a token, a key or the text', async () => {
  const cluster = await startPostgres();
  const databaseUrl = cluster.url;
  const server = await spawnServer({ databaseUrl }, { LOG_LEVEL: 'trace', JWT_SECRET });
  const tokens = await mintTokens();
  await editAsRealClients(server.url, tokens);
  await beRefused(server.url, tokens);
  const survivor = await joinAs('y-websocket', server.url, NAME, tokens.writer);
  await cluster.stop('immediate');
  survivor.type(TEXT);
  await server.line(/a commit failed/);
  const late = await joinAs('hocuspocus', server.url, 'logs/other', tokens.writer);
  late.type(TEXT);
  await cluster.start();
  expect(await survivor.ack(20_000)).toBe(true);
  await spoilRow(databaseUrl);
  await breakOn(server, await joinAs('y-websocket', server.url, 'logs/spoilt', tokens.writer));
  expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });

  const lines = [...server.stdout, ...server.stderr];
  for (const said of ['listening', 'a document is refused', 'a commit failed', 'are set aside']) {
    expect(
      lines.some((line) => line.includes(said)),
      said,
    ).toBe(true);
  }
  const password = new URL(databaseUrl).password;
  expectSilence(lines, { ...tokens, JWT_SECRET, password, ...spellings(TEXT) });
}, 60_000);

test('[H2] an error of Postgres is logged without the values of the row that it complains about', async () => {
  const { queries } = await openStorage(await createStorage('postgres'));
  await queries.query('create table notes (text text primary key)');
  await queries.query('insert into notes values ($1)', [TEXT]);
  const error = await queries
    .query('insert into notes values ($1)', [TEXT])
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: '23505', detail: expect.stringContaining(TEXT) });

  const lines: string[] = [];
  const log = createLog('trace', { write: (line: string) => void lines.push(line) });
  log.error({ err: error }, 'refused');
  log.error(error);
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line).toMatch(/duplicate key value.*"stack":/);
  log.error({ err: 'its message alone' }, 'refused');
  expect(lines[2]).toContain('its message alone');
  expectSilence(lines, spellings(TEXT));
});

const mint = (access: 'read' | 'write', key = JWT_SECRET, lifetime = 600) =>
  mintToken(key, { sub: 'alice', name: 'Alice', access: { 'logs/*': access } }, lifetime);

async function mintTokens() {
  return {
    writer: await mint('write'),
    reader: await mint('read'),
    forged: await mint('write', `${JWT_SECRET}, another`),
    expired: await mint('write', JWT_SECRET, -3600),
    nonsense: 'no.token.atall',
  };
}

type Tokens = Awaited<ReturnType<typeof mintTokens>>;

async function editAsRealClients(url: string, { writer }: Tokens): Promise<void> {
  const one = connectYWebsocket(url, NAME, { token: writer, acks: true });
  const two = connectHocuspocus(url, NAME, { token: writer });
  await Promise.all([one.synced(), two.synced()]);
  one.doc.getText('content').insert(0, TEXT);
  one.awareness.setLocalState({ user: { name: TEXT } });
  await one.saved();
  await two.sees((doc) => doc.getText('content').toString() === TEXT);
  two.doc.getText('content').insert(0, TEXT);
  await two.saved();
  one.destroy();
  two.destroy();
}

/** Everything that a server refuses, with tokens and text in it. */
async function beRefused(url: string, { writer, reader, forged, expired, nonsense }: Tokens): Promise<void> {
  for (const token of [forged, expired, nonsense]) {
    await expect(rawYWebsocket(`${url}/${NAME}?token=${token}`)).rejects.toThrow('401');
    const headers = { Authorization: `Bearer ${token}` };
    await expect(rawYWebsocket(`${url}/${NAME}`, { headers })).rejects.toThrow('401');
    const hocuspocus = await rawHocuspocus(url);
    hocuspocus.send({ type: 'token', token }, NAME);
    expect(await hocuspocus.next('denied')).toMatchObject({
      reason: token === expired ? 'token_expired' : 'unauthorized',
    });
  }
  await expect(rawYWebsocket(`${url}/elsewhere?token=${writer}`)).rejects.toThrow('403');
  await expect(rawYWebsocket(`${url}/a//b?token=${writer}`)).rejects.toThrow('400');
  await fetch(`${url}/${NAME}?token=${writer}`);
  const scribbler = await joinAs('y-websocket', url, NAME, reader);
  scribbler.type(TEXT);
  expect(await scribbler.ack()).toBe(false);
  for (const protocol of ['y-websocket', 'hocuspocus'] as const) {
    const sloppy = await joinAs(protocol, url, NAME, writer);
    await sloppy.ask();
    sloppy.send(updateOf(TEXT).slice(0, -2));
    expect(await sloppy.client.closed()).toMatchObject({ code: 4400 });
  }
  const chatty = await rawYWebsocket(`${url}/${NAME}?token=${writer}`);
  chatty.socket.send(TEXT);
  expect(await chatty.closed()).toMatchObject({ code: 4400 });
}

/** A stored document with a row that does not match its checksum. */
async function spoilRow(databaseUrl: string): Promise<void> {
  const { queries } = await openStorage({ databaseUrl });
  await queries.query(
    `with document as (insert into indelible.documents (name) values ('logs/spoilt') returning id)
     insert into indelible.updates (document, created_at, checksum, update) select id, now(), 0, $1 from document`,
    [updateOf(TEXT)],
  );
}

async function breakOn(server: ServerProcess, editor: Editor): Promise<void> {
  await server.line(/are set aside/);
  expect((await editor.ask()).getText('content').toString()).toBe('');
  await vi.waitFor(async () => expect(await readiness(server.url)).toMatchObject({ code: 200 }));
  editor.send(Y.encodeStateAsUpdate(editor.doc));
}
