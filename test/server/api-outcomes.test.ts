import { describe, expect, test, vi } from 'vitest';
import type * as Y from 'yjs';
import type { ServerOptions } from '../../server/index.ts';
import type { Database } from '../../server/storage/database.ts';
import { ask, at, keyed, patch, told, type Answered } from '../helpers/api.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { textOf, updateOf } from '../helpers/editor.ts';
import { clusterOptions, startInstance } from '../helpers/instances.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer } from '../helpers/server.ts';
import { openMigrated, openStorage, rebuild, type Storage } from '../helpers/storage.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const NAME = 'notes/today';

/** Holds locks for longer than a database may be silent. */
const PATIENT = { silenceMs: 60_000 };

/** An instance whose commits of requests with keys wait, unlike those of others, until that is over. Nothing of them is written. */
async function startWaiting(options: ServerOptions, database: Database) {
  const [waiting, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await database.queries.query(`
    create function indelible.wait() returns trigger language plpgsql as $$ begin
      if current_setting('test.waits', true) = 'on' then perform pg_advisory_xact_lock(1); end if;
      return null;
    end $$;
    create trigger waits before insert on indelible.requests for each statement execute function indelible.wait();`);
  const lock = database.queries.transaction(async (connection) => {
    await connection.query('select pg_advisory_xact_lock(1)');
    waiting.resolve();
    await over.promise;
  });
  await waiting.promise;
  const databaseUrl = `${options.databaseUrl}?options=${encodeURIComponent('-c test.waits=on')}`;
  const instance = await startInstance({ ...options, databaseUrl, shutdownMs: 0 });
  const goOn = async () => {
    over.resolve();
    await lock;
  };
  return { ...instance, goOn };
}

async function waitsForLock(database: Database): Promise<void> {
  const waiting = `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`;
  await vi.waitFor(async () => expect((await database.queries.query(waiting)).rowCount).toBe(1), 10_000);
}

/** Commits of requests with keys wait until the lock is given back, and whoever has sent them is cut off meanwhile. */
async function startSilent() {
  const { url: databaseUrl } = await createDatabase();
  const line = await startProxy(databaseUrl);
  const database = await openMigrated({ databaseUrl }, PATIENT);
  await database.queries.query(`
    create function indelible.wait() returns trigger language plpgsql as $$ begin
      perform pg_advisory_xact_lock(1);
      return null;
    end $$;
    create constraint trigger waits after insert on indelible.requests
      deferrable initially deferred for each row execute function indelible.wait();`);
  const { url } = await startServer({ databaseUrl: line.url });
  const backends = async (where: string) =>
    (
      await database.queries.query(
        `select from pg_stat_activity where datname = current_database() and ${where}`,
      )
    ).rowCount;
  /** Asks, and cuts the line while it commits, which it does only when the answer is there. */
  const cutOff = async (asking: () => Promise<Answered>): Promise<Answered> => {
    let answer: Answered | undefined;
    await database.queries.transaction(async (connection) => {
      await connection.query('select pg_advisory_xact_lock(1)');
      const asked = asking();
      await vi.waitFor(
        async () => expect(await backends(`query = 'commit' and wait_event_type = 'Lock'`)).toBe(1),
        10_000,
      );
      line.reset();
      answer = await asked;
    });
    await vi.waitFor(
      async () => expect(await backends(`query = 'commit' and state = 'active'`)).toBe(0),
      10_000,
    );
    return answer as Answered;
  };
  return { url, database, cutOff };
}

describe('[U8] an edit that was answered with 504', () => {
  test('[U8] [U9] is not done again at another instance, which commits it as the first would have', async () => {
    const options = await clusterOptions({ jwtSecret: SECRET });
    const token = await mint({ sub: 'anna' });
    const other = await startInstance(options);
    await ask(other.url, at(NAME), { method: 'POST', token });
    const bob = connectYWebsocket(other.url, NAME, { token: await mint({ sub: 'bob' }) });
    await bob.synced();
    const database = await openStorage(options as Storage, PATIENT);
    const one = await startWaiting(options, database);
    const read = await ask(other.url, at(NAME), { token });
    const { headers, ...asked } = keyed('k', 'once');
    const append = (url: string) =>
      ask(url, at(NAME), { ...asked, headers: { ...headers, 'If-Match': String(read.etag) }, token });
    expect(told(await append(one.url))).toBe('504 commit_pending');
    await bob.sees((doc) => textOf(doc) === 'once');
    // Who opens the document now is told by the first one, who commits nothing.
    const third = await startInstance(options);
    for (const { url } of [third, other]) {
      const again = await append(url);
      expect([told(again), again.headers.get('idempotent-replayed')]).toEqual(['204', 'true']);
    }
    await one.server.close();
    await one.goOn();
    for (const { url } of [third, other])
      expect((await ask(url, at(NAME, '?format=text'), { token })).text).toBe('once');
    expect(textOf((await rebuild(database, NAME)) as Y.Doc)).toBe('once');
    const { rows } = await database.queries.query<{ author: string }>(
      'select distinct author from indelible.updates',
    );
    expect(rows).toEqual([{ author: 'anna' }]);
  }, 60_000);

  test('[U8] [L11] is committed all the same where somebody has recorded its key meanwhile: people have seen it', async () => {
    const options = await clusterOptions();
    const database = await openMigrated(options as Storage, PATIENT);
    const { url, goOn, server } = await startWaiting(options, database);
    await ask(url, at(NAME), { method: 'POST' });
    const alice = connectYWebsocket(url, NAME, { acks: true });
    await alice.synced();
    expect(told(await ask(url, at(NAME), keyed('k', 'seen')))).toBe('504 commit_pending');
    await alice.sees((doc) => textOf(doc) === 'seen');
    await database.queries.query(
      `insert into indelible.requests ("user", key, attempt, fingerprint, answer)
         values ('', 'k', 'another', 'another', '{"status":204,"headers":{},"body":null}')`,
    );
    alice.doc.getText('content').insert(4, '!');
    await goOn();
    await alice.saved();
    expect(textOf((await rebuild(database, NAME)) as Y.Doc)).toBe('seen!');
    expect(told(await ask(url, at(NAME), keyed('k', 'seen')))).toBe('422 key_reused');
    await server.close();
  }, 60_000);
});

describe('[U8] a request that is tried at another instance before it is answered', () => {
  test('[U8] [N1] is done there, and not here', async () => {
    const options = await clusterOptions();
    const other = await startInstance(options);
    await ask(other.url, at(NAME), { method: 'POST' });
    const database = await openStorage(options as Storage, PATIENT);
    const one = await startWaiting(options, database);
    const [alice, bob] = [connectYWebsocket(one.url, NAME), connectYWebsocket(other.url, NAME)];
    await alice.synced();
    await bob.synced();
    const first = ask(one.url, at(NAME), keyed('k', 'once'));
    await waitsForLock(database);
    expect(told(await ask(other.url, at(NAME), keyed('k', 'once')))).toBe('204');
    await alice.sees((doc) => textOf(doc) === 'once');
    const again = await first;
    expect([told(again), again.headers.get('idempotent-replayed')]).toEqual(['204', 'true']);
    await one.goOn();
    // It is committed after what waited.
    const append = () => ask(one.url, at(NAME), patch({ op: 'append', text: '!' }));
    await vi.waitFor(async () => expect(told(await append())).toBe('204'), 20_000);
    for (const { doc } of [alice, bob]) await vi.waitFor(() => expect(textOf(doc)).toBe('once!'), 5_000);
    expect(textOf((await rebuild(database, NAME)) as Y.Doc)).toBe('once!');
  }, 60_000);
});

test('[O9] [U8] an edit that waits while its document is deleted and another one created does not get into that', async () => {
  const options = await clusterOptions();
  const other = await startInstance(options);
  await ask(other.url, at(NAME), { method: 'POST' });
  const database = await openStorage(options as Storage, PATIENT);
  const one = await startWaiting(options, database);
  expect(told(await ask(one.url, at(NAME), keyed('k', 'of the first')))).toBe('504 commit_pending');
  expect(told(await ask(other.url, at(NAME), { method: 'DELETE' }))).toBe('204');
  expect(told(await ask(other.url, at(NAME), { method: 'POST', body: { content: 'the second' } }))).toBe(
    '201',
  );
  await one.goOn();
  const append = () => ask(one.url, at(NAME), patch({ op: 'append', text: '!' }));
  await vi.waitFor(async () => expect(told(await append())).toBe('204'), 20_000);
  expect(textOf((await rebuild(database, NAME)) as Y.Doc)).toBe('the second!');
}, 60_000);

describe('[U9] when the database falls silent', () => {
  test('[U9] [U8] what may be done is said to be so, and the key tells whether it is', async () => {
    const { url, cutOff } = await startSilent();
    for (const [method, path, body] of [
      ['POST', at(NAME), { content: 'text' }],
      ['POST', at(NAME, '/duplicate'), { to: 'copy' }],
      ['POST', at('copy', '/rename'), { to: 'moved' }],
      ['DELETE', at('moved'), undefined],
      ['POST', at('moved', '/restore'), undefined],
      ['POST', at('moved', '/erase'), undefined],
    ] as const) {
      const asking = () =>
        ask(url, path, {
          method,
          body,
          headers: { 'Idempotency-Key': `${method} ${path}`.replaceAll(' ', '') },
        });
      const silent = await cutOff(asking);
      expect([told(silent), silent.headers.get('retry-after')], path).toEqual(['504 outcome_unknown', '1']);
      const again = await asking();
      expect([again.status < 300, again.headers.get('idempotent-replayed')], path).toEqual([true, 'true']);
    }
    expect((await ask(url, at(NAME, '?format=text'))).text).toBe('text');
    expect((await ask(url, '/documents')).json).toEqual({ names: [NAME], cursor: null });
  }, 60_000);

  test('[U9] an erasure that has come half of the way says so, and is done when it is asked for again', async () => {
    const { url, database } = await startSilent();
    await ask(url, at(NAME), { method: 'POST', body: updateOf('text') });
    await database.queries.query(`
      create function indelible.fail() returns trigger language plpgsql as $$ begin
        raise exception 'out of memory' using errcode = '53200';
      end $$;
      create trigger fails before delete on indelible.updates for each row execute function indelible.fail();`);
    const erase = () => ask(url, at(NAME, '/erase'), { method: 'POST' });
    expect(told(await erase())).toBe('504 outcome_unknown');
    expect(told(await ask(url, at(NAME)))).toBe('404 document_deleted');
    expect(told(await erase())).toBe('503 database_unavailable');
    await database.queries.query('drop trigger fails on indelible.updates');
    expect(told(await erase())).toBe('204');
    expect((await database.queries.query('select from indelible.updates')).rowCount).toBe(0);
  });
});
