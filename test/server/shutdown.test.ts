import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { joinAs, PROTOCOLS, textOf } from '../helpers/editor.ts';
import { freePort } from '../helpers/ports.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { startNode } from '../helpers/processes.ts';
import { rawYWebsocket, UpgradeRefused } from '../helpers/raw-client.ts';
import { readiness, readinessBecomes } from '../helpers/readiness.ts';
import { spawnServer } from '../helpers/server.ts';
import { createStorage, openStorage, rebuild, STORAGE_KINDS } from '../helpers/storage.ts';
import { startTyping } from '../helpers/typing.ts';

const RESTART = { code: 1012, reason: 'draining' };

describe.each(STORAGE_KINDS)('a server under load, on %s', (kind) => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '[R1] %s closes sockets one after the other with 1012, loses nothing that was acked, and exits with 0',
    async (signal) => {
      const storage = await createStorage(kind);
      const server = await spawnServer(storage, { DRAIN_MS: '1000' });
      const typists = await Promise.all(
        ['drain/1', 'drain/2', 'drain/3', 'drain/4'].flatMap((document) =>
          PROTOCOLS.map((protocol) => startTyping(protocol, server.url, document)),
        ),
      );
      await Promise.all(typists.map((typist) => typist.acked(20)));
      server.signal(signal);

      const ends = await Promise.all(typists.map(({ ended }) => ended));
      for (const { code, reason } of ends) expect({ code, reason }).toEqual(RESTART);
      const times = ends.map(({ at }) => at).toSorted((a, b) => a - b);
      expect((times.at(-1) ?? 0) - (times[0] ?? 0), 'ms from the first to the last').toBeGreaterThan(500);
      expect(await server.exited).toEqual({ code: 0, signal: null });
      expect(server.stderr).toEqual([]);

      const database = await openStorage(storage);
      for (const typist of typists) {
        expect(typist.missingIn(await rebuild(database, typist.document))).toEqual([]);
      }
    },
    60_000,
  );
});

test('[R1] while it drains, /readyz and upgrades get 503, and /healthz 200', async () => {
  const server = await spawnServer(await createStorage('postgres'), { DRAIN_MS: '20000' });
  const clients = [];
  for (let client = 0; client < 4; client += 1) {
    clients.push(await rawYWebsocket(`${server.url}/drain/${client}`));
  }
  expect(await readiness(server.url)).toMatchObject({ code: 200, status: 'ready' });
  server.signal('SIGTERM');
  await Promise.race(clients.map((client) => client.closed()));

  expect(await readiness(server.url)).toMatchObject({ code: 503, status: 'unready', database: 'there' });
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  const refusal = await rawYWebsocket(`${server.url}/drain/0`).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(UpgradeRefused);
  expect(refusal).toMatchObject({ status: 503, body: 'draining\n' });
  const browser = await rawYWebsocket(`${server.url}/drain/0`, { headers: { Origin: server.url } });
  expect(await browser.closed()).toEqual(RESTART);

  // With nothing to commit, a second signal only saves time.
  expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  expect(server.stderr).toEqual([]);
});

test('[R1] what is queued when the signal comes is committed before the process exits', async () => {
  const cluster = await startPostgres();
  const storage = { databaseUrl: cluster.url };
  const server = await spawnServer(storage);
  const editor = await joinAs('y-websocket', server.url, 'queued');
  editor.type('acked');
  expect(await editor.ack()).toBe(true);
  cluster.freeze();
  for (const word of [' and', ' not', ' acked']) editor.type(word);
  expect(textOf(await editor.ask())).toBe('acked and not acked');
  server.signal('SIGTERM');
  expect(await editor.client.closed()).toEqual(RESTART);
  expect(await readiness(server.url)).toMatchObject({ code: 503, status: 'unready', database: 'away' });
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(editor.acks()).toEqual([true]);

  cluster.thaw();
  expect(await server.exited).toEqual({ code: 0, signal: null });
  const stored = await rebuild(await openStorage(storage), 'queued');
  expect(stored && textOf(stored)).toBe('acked and not acked');
}, 60_000);

test('[R1] a document that is still loading does not hold the process up', async () => {
  const cluster = await startPostgres();
  const server = await spawnServer({ databaseUrl: cluster.url });
  cluster.freeze();
  const [one, two] = [
    await joinAs('y-websocket', server.url, 'loading'),
    await joinAs('hocuspocus', server.url, 'loading'),
  ];
  one.type('too early');
  two.type('too early');
  // The sockets are open, and their document cannot be.
  await readinessBecomes(server.url, { database: 'away' });
  server.signal('SIGTERM');
  expect(await one.client.closed()).toEqual(RESTART);
  expect(await two.client.closed()).toEqual(RESTART);
  expect(await server.exited).toEqual({ code: 0, signal: null });
  expect([...one.acks(), ...two.acks()]).toEqual([]);
}, 60_000);

test('[R1] a server that is still waiting for its database stops at the first signal', async () => {
  const databaseUrl = `postgres://nobody@127.0.0.1:${await freePort()}/nothing`;
  const server = await startNode(['server/main.ts', 'serve'], {
    env: { DATABASE_URL: databaseUrl, PORT: '0' },
  });
  await server.line(/waiting for the database/);
  expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
});

function expectNames(stderr: string[]) {
  expect(stderr).toEqual([expect.stringMatching(/not committed.*stuck\/one, stuck\/two$/)]);
  expect(stderr[0]).not.toContain('stuck/safe');
}

describe.each(['frozen', 'stopped'] as const)('with Postgres %s', (how) => {
  /** A server with edits in two documents that cannot be committed, and one in a third that is. */
  async function startStuck(env: Record<string, string>) {
    const cluster = await startPostgres();
    const server = await spawnServer({ databaseUrl: cluster.url }, env);
    const editors = [];
    for (const name of ['stuck/safe', 'stuck/one', 'stuck/two']) {
      const editor = await joinAs('y-websocket', server.url, name);
      editor.type('committed');
      expect(await editor.ack()).toBe(true);
      editors.push(editor);
    }
    if (how === 'frozen') cluster.freeze();
    else await cluster.stop('immediate');
    for (const editor of editors.slice(1)) {
      editor.type(', not committed');
      await editor.ask();
    }
    return { server, editors };
  }

  test('[R2] at the deadline the process exits with 1 and names the documents', async () => {
    const { server, editors } = await startStuck({ SHUTDOWN_MS: '2000' });
    const since = performance.now();
    const exit = await server.kill('SIGTERM');
    const after = performance.now() - since;
    expect(exit).toEqual({ code: 1, signal: null });
    expect(after, 'ms from the signal to the exit').toBeGreaterThan(1_900);
    expect(after, 'ms from the signal to the exit').toBeLessThan(9_000);
    expectNames(server.stderr);
    for (const editor of editors) {
      expect(await editor.client.closed()).toEqual(RESTART);
      expect(editor.acks()).toEqual([true]);
    }
  }, 60_000);

  test('[R2] at a second signal the process exits at once, with 1, and names the documents', async () => {
    const { server, editors } = await startStuck({ SHUTDOWN_MS: '600000' });
    server.signal('SIGTERM');
    for (const editor of editors) expect(await editor.client.closed()).toEqual(RESTART);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect(await server.kill('SIGTERM')).toEqual({ code: 1, signal: null });
    expectNames(server.stderr);
  }, 60_000);
});

test('[R2] a Ctrl-C that arrives twice, as it does through npm, is one signal', async () => {
  const cluster = await startPostgres();
  const storage = { databaseUrl: cluster.url };
  const server = await spawnServer(storage);
  const editor = await joinAs('y-websocket', server.url, 'pressed/once');
  editor.type('warm');
  expect(await editor.ack()).toBe(true);
  cluster.freeze();
  editor.type(', queued');
  await editor.ask();
  for (let arrival = 0; arrival < 5; arrival += 1) {
    server.signal('SIGINT');
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await editor.client.closed()).toEqual(RESTART);
  cluster.thaw();
  expect(await server.exited).toEqual({ code: 0, signal: null });
  const stored = await rebuild(await openStorage(storage), 'pressed/once');
  expect(stored && textOf(stored)).toBe('warm, queued');
}, 60_000);

test('[R2] a document that is only to be confirmed by a standby has nothing unwritten: the process exits with 0, and at once', async () => {
  const cluster = await startPostgres();
  const storage = { databaseUrl: cluster.url };
  const writing = await spawnServer(storage);
  const author = await joinAs('y-websocket', writing.url, 'loaded');
  author.type('stored');
  expect(await author.ack()).toBe(true);
  expect(await writing.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  const { queries } = await openStorage(storage);
  await queries.query(`alter system set synchronous_standby_names = 'away'`);
  await queries.query('select pg_reload_conf()');

  const server = await spawnServer(storage, { SHUTDOWN_MS: '60000' });
  const reader = await joinAs('y-websocket', server.url, 'loaded');
  const loaded = await reader.ask();
  expect(textOf(loaded)).toBe('stored');
  // A repeat is not acknowledged before a standby has what the document was loaded with.
  reader.send(Y.encodeStateAsUpdate(loaded));
  await reader.ask();
  expect(reader.acks()).toEqual([]);
  expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  expect(server.stderr).toEqual([]);
}, 60_000);
