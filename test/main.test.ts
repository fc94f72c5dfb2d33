import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { describeSettings } from '../server/config.ts';
import { Metrics } from '../server/metrics.ts';
import { type Database } from '../server/storage/database.ts';
import { DocumentStore, type FoldResult } from '../server/storage/document-store.ts';
import { atTestEnd } from './helpers/cleanup.ts';
import { joinAs, PROTOCOLS, textOf, typist } from './helpers/editor.ts';
import { freePort } from './helpers/ports.ts';
import { family, signal } from './helpers/process-table.ts';
import { startNode, startProgram } from './helpers/processes.ts';
import { UpgradeRefused } from './helpers/raw-client.ts';
import { spawnServer, startServer } from './helpers/server.ts';
import {
  createStorage,
  environmentOf,
  insertRows,
  openMigrated,
  openStorage,
  rebuild,
  silent,
  STORAGE_KINDS,
} from './helpers/storage.ts';
import { SECRET as JWT_SECRET } from './helpers/tokens.ts';

/** Runs the command line to its end. */
async function indelible(words: string[], env: Record<string, string> = {}) {
  const child = await startNode(['server/main.ts', ...words], { env });
  const { code } = await child.exited;
  return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
}

/** A token of `indelible token`. */
async function mint(words: string, key = JWT_SECRET): Promise<string> {
  return (await indelible(['token', ...words.split(' ')], { JWT_SECRET: key })).stdout;
}

/** A Postgres with our schema, open beside the command. */
async function migrated() {
  const storage = await createStorage('postgres');
  const database = await openMigrated(storage);
  return { database, env: environmentOf(storage) };
}

async function fold(database: Database, name: string): Promise<FoldResult> {
  const store = new DocumentStore(database.queries, silent, new Metrics());
  atTestEnd(() => store.close());
  return store.fold(name);
}

/** Asks until it is so: Postgres tells nobody. */
async function somebodyWaitsForALock({ queries }: Database): Promise<void> {
  const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await queries.query(waiting)).rowCount === 0);
}

describe('indelible help', () => {
  test.each([['help'], ['--help'], ['-h'], ['serve --help'], ['']])(
    '[C3] `indelible %s` shows every command and every setting with its default',
    async (words) => {
      const { code, stdout, stderr } = await indelible(words.split(' ').filter(Boolean));
      expect([code, stderr]).toEqual([0, '']);
      for (const command of ['serve', 'migrate', 'token', 'inspect', 'quarantine', 'help']) {
        expect(stdout).toMatch(new RegExp(`^ {2}${command} +\\w`, 'm'));
      }
      for (const { env, fallback, help } of describeSettings()) {
        expect(stdout).toContain(help + (fallback && ` [${fallback}]`));
        expect(stdout).toMatch(new RegExp(`^ {2}${env} `, 'm'));
      }
    },
  );
});

describe('a wrong command line', () => {
  test.each([
    ['an unknown command', 'start', /no command 'start'; try 'indelible help'/],
    ['a name that every object has', 'constructor', /no command 'constructor'/],
    ['arguments for settings', 'serve --port 3000', /'serve' takes no arguments.*environment/],
    ['arguments of migrate', 'migrate now', /'migrate' takes no arguments/],
    ['an unknown option', 'token --role admin', /--role/],
    ['access of no kind', 'token --access notes/*=all', /--access takes <pattern>=read, =write or =admin/],
    ['access without a pattern', 'token --access =read', /--access takes/],
    ['no time', 'token --hours 0', /--hours takes a number above 0/],
    ['endless time', 'token --hours Infinity', /--hours takes a number above 0/],
    ['nobody', 'token --sub=', /--sub takes/],
    ['no document', 'inspect', /'inspect' takes the name of a document/],
    ['two documents', 'inspect notes/today notes/yesterday', /'inspect' takes the name of a document/],
    ['no row', 'quarantine --undo', /'quarantine' takes the number of a row/],
    ['a row that is no number', 'quarantine notes/today', /the number of a row, not 'notes\/today'/],
    ['two rows', 'quarantine 1 2', /the number of a row, not '1 2'/],
    ['an unknown option of quarantine', 'quarantine 1 --yes', /--yes/],
  ])('[C3] %s exits with 2 and says what is wrong', async (_case, words, problem) => {
    const { code, stdout, stderr } = await indelible(words.split(' '), { JWT_SECRET });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(problem);
  });

  test('[C3] a wrong setting exits with 2, before anything is opened', async () => {
    const { code, stdout, stderr } = await indelible(['serve'], { PORT: 'http', DATA_DIR: '/dev/null' });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/PORT \(port\).*TCP port/);
  });
});

describe('indelible token', () => {
  test.each(PROTOCOLS)(
    '[C3] mints a token that a server with the same settings accepts, over %s',
    async (protocol) => {
      const minted = await indelible(['token', '--sub', 'alice', '--access', 'notes/*=write'], {
        JWT_SECRET,
        JWT_ISSUER: 'me',
        JWT_AUDIENCE: 'this',
      });
      expect([minted.code, minted.stderr]).toEqual([0, '']);
      const storage = await createStorage('postgres');
      const settings = { jwtSecret: JWT_SECRET, jwtIssuer: 'me', jwtAudience: 'this' };
      const { url } = await startServer({ ...storage, ...settings });
      const editor = await joinAs(protocol, url, 'notes/today', minted.stdout);
      editor.type('hello');
      expect(await editor.ack()).toBe(true);
      const { rows } = await (
        await openStorage(storage)
      ).queries.query('select author from indelible.updates');
      expect(rows).toEqual([{ author: 'alice' }]);
    },
  );

  test('[C3] a token holds for its documents, its access and its key only', async () => {
    const { url } = await startServer({ jwtSecret: JWT_SECRET });
    const statusOf = async (token: string) => {
      const refused = await joinAs('y-websocket', url, 'notes/today', token).catch((error: unknown) => error);
      return refused instanceof UpgradeRefused ? refused.status : refused;
    };
    expect(await statusOf(await mint('--access other/*=write'))).toBe(403);
    expect(await statusOf(await mint('--sub bob', `${JWT_SECRET}, another`))).toBe(401);
    const reader = await joinAs('y-websocket', url, 'notes/today', await mint('--access notes/*=read'));
    reader.type('scribbled');
    expect(await reader.ack()).toBe(false);
  });

  test('[C3] without a key it says what to set', async () => {
    const { code, stdout, stderr } = await indelible(['token']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/set JWT_SECRET/);
  });
});

describe.each(STORAGE_KINDS)('indelible migrate on %s', (kind) => {
  test('[C3] applies what is missing, then says that nothing is', async () => {
    const storage = await createStorage(kind);
    const first = await indelible(['migrate'], environmentOf(storage));
    expect(first).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/applied: .*001_documents/),
    });
    const again = await indelible(['migrate'], environmentOf(storage));
    expect(again).toMatchObject({ code: 0, stderr: '', stdout: 'up to date' });
    const { rows } = await (await openStorage(storage)).queries.query('select * from indelible.documents');
    expect(rows).toEqual([]);
  });
});

describe.each(STORAGE_KINDS)('a bad edit on %s', (kind) => {
  test('[I4] is seen with its author, and taken out by its row; a server opens the document without it', async () => {
    const storage = await createStorage(kind);
    const env = { ...environmentOf(storage), JWT_SECRET };
    const [alice, mallory] = [await mint('--sub alice'), await mint('--sub mallory')];
    const first = await spawnServer(storage, { JWT_SECRET });
    for (const [protocol, token, text] of [
      ['y-websocket', alice, 'good'],
      ['hocuspocus', mallory, 'bad'],
    ] as const) {
      const editor = await joinAs(protocol, first.url, 'notes/today', token);
      editor.type(text);
      expect(await editor.ack()).toBe(true);
    }
    await first.kill();

    const listed = await indelible(['inspect', 'notes/today'], env);
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    const [, row] = listed.stdout.match(/^(\d+) +mallory .*sound$/m) ?? [];
    const done = await indelible(['quarantine', row ?? ''], env);
    expect(done).toEqual({
      code: 0,
      stdout: `set aside row ${row} of notes/today; nothing else builds on it`,
      stderr: '',
    });
    expect((await indelible(['inspect', 'notes/today'], env)).stdout).toMatch(
      /mallory .*set aside \(operator\)$/m,
    );
    const { url } = await spawnServer(storage, { JWT_SECRET });
    const reader = await joinAs('y-websocket', url, 'notes/today', alice);
    expect(textOf(await reader.ask())).toBe('good');
  });
});

describe('indelible inspect', () => {
  test('[I1] lists the snapshot, and each row of the log with author, time, bytes and verdict', async () => {
    const { database, env } = await migrated();
    const typed = typist();
    await insertRows(database, 'notes/today', [typed('one ')]);
    expect(await fold(database, 'notes/today')).toMatchObject({ kind: 'folded' });
    const two = typed('two ');
    const [first] = await insertRows(database, 'notes/today', [two], 'alice');
    const [second] = await insertRows(database, 'notes/today', [new Uint8Array(1)]);
    const [third] = await insertRows(database, 'notes/today', [two], 'mallory\u001b[2J\nsound');
    await insertRows(database, 'notes/yesterday', [two], 'bob');

    const { code, stdout, stderr } = await indelible(['inspect', 'notes/today'], env);
    expect([code, stderr]).toEqual([0, '']);
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^snapshot: \\d+ bytes, written ${time}, sound$`)),
      expect.stringMatching(/^row +author +time +bytes +verdict$/),
      expect.stringMatching(new RegExp(`^${first} +alice +${time} +${two.byteLength} +sound$`)),
      expect.stringMatching(new RegExp(`^${second} +- +${time} +1 +throws: .+$`)),
      expect.stringMatching(
        new RegExp(`^${third} +mallory\\?\\[2J\\?sound +${time} +${two.byteLength} +sound$`),
      ),
    ]);
    expect((await indelible(['inspect', 'notes/yesterday'], env)).stdout).toMatch(/^snapshot: none\n/);
  });

  test('[I2] changes nothing, though a load would set rows aside', async () => {
    const { database, env } = await migrated();
    const rows = [typist(1)('kept'), typist(2)('damaged'), new Uint8Array([1, 2, 3])];
    const [, damaged] = await insertRows(database, 'notes/today', rows);
    await database.queries.query('update indelible.updates set checksum = checksum + 1 where id = $1', [
      damaged,
    ]);
    const everything = async () =>
      (await database.queries.query('select xmin, * from indelible.updates order by id')).rows;
    const before = await everything();
    const { stdout } = await indelible(['inspect', 'notes/today'], env);
    expect(stdout).toMatch(/sound\n.*checksum differs\n.*throws: /);
    expect(await everything()).toEqual(before);
  });
});

describe('indelible quarantine', () => {
  test('[I5] refuses what would take other edits with it, unless it is forced; --undo brings all back', async () => {
    const { database, env } = await migrated();
    const [, bad] = await insertRows(database, 'notes/today', ['one ', 'two ', 'three'].map(typist()));
    const text = async () => textOf((await rebuild(database, 'notes/today')) ?? new Y.Doc());
    const refused = await indelible(['quarantine', bad ?? ''], env);
    expect(refused).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `indelible: row ${bad} of notes/today is not set aside; what builds on it waits for it: 1 other update. ` +
        'To do it all the same, repeat with --force',
    });
    expect(await text()).toBe('one two three');
    const forced = await indelible(['quarantine', '--force', bad ?? ''], env);
    expect(forced.stdout).toBe(
      `set aside row ${bad} of notes/today; what builds on it waits for it: 1 other update`,
    );
    expect(await text()).toBe('one ');
    expect(await fold(database, 'notes/today')).toMatchObject({ kind: 'folded', rows: 2 });

    const undone = await indelible(['quarantine', '--undo', bad ?? ''], env);
    expect(undone).toEqual({ code: 0, stdout: `row ${bad} is a part of notes/today again`, stderr: '' });
    expect(await text()).toBe('one two three');
  });

  test('[I4] says when a row is set aside already, or is not', async () => {
    const { database, env } = await migrated();
    const [row] = await insertRows(database, 'notes/today', [typist()('kept')]);
    const notAside = await indelible(['quarantine', '--undo', row ?? ''], env);
    expect([notAside.code, notAside.stderr]).toEqual([
      1,
      `indelible: row ${row} of notes/today is not set aside`,
    ]);
    await database.queries.query(`update indelible.updates set quarantined = 'apply'`);
    const twice = await indelible(['quarantine', row ?? ''], env);
    expect([twice.code, twice.stderr]).toEqual([
      1,
      `indelible: row ${row} of notes/today is set aside already (apply)`,
    ]);
  });

  test('[I6] waits for a fold of another process, and then has nothing to set aside', async () => {
    const { database, env } = await migrated();
    const [row] = await insertRows(database, 'notes/today', [typist()('kept')]);
    let command: ReturnType<typeof indelible> | undefined;
    await database.queries.transaction(async (client) => {
      await client.query('select 1 from indelible.documents for no key update');
      command = indelible(['quarantine', row ?? ''], env);
      await somebodyWaitsForALock(database);
      await client.query('delete from indelible.updates');
    });
    expect(await command).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`the update log has no row ${row}`),
    });
  });

  test('[I7] what is not there is said: no schema, no document, no row', async () => {
    const env = environmentOf(await createStorage('postgres'));
    for (const words of [
      ['inspect', 'notes/today'],
      ['quarantine', '1'],
    ]) {
      const { code, stdout, stderr } = await indelible(words, env);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/holds no documents: are DATABASE_URL and DATA_DIR/);
    }
    await indelible(['migrate'], env);
    expect(await indelible(['inspect', 'notes/today'], env)).toEqual({
      code: 1,
      stdout: '',
      stderr: "indelible: there is no document 'notes/today'",
    });
    for (const words of [
      ['quarantine', '1'],
      ['quarantine', '--undo', '999999999999999999'],
    ]) {
      const { code, stdout, stderr } = await indelible(words, env);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/the update log has no row \d+: a snapshot has taken it in, or it never was/);
    }
  });

  test('[I7] the embedded database of a running server is left alone', async () => {
    const storage = await createStorage('embedded');
    await startServer(storage);
    for (const words of [
      ['inspect', 'notes/today'],
      ['quarantine', '1'],
    ]) {
      const { code, stderr } = await indelible(words, environmentOf(storage));
      expect(code).toBe(1);
      expect(stderr).toMatch(/another process uses DATA_DIR; stop it/);
    }
  });

  test('[M2] an older command leaves a schema alone that needs a newer one', async () => {
    const { database, env } = await migrated();
    const [row] = await insertRows(database, 'notes/today', [typist()('kept')]);
    await database.queries.query(`update indelible.compatibility set oldest_server = '999.0.0'`);
    const { code, stderr } = await indelible(['quarantine', row ?? ''], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/the database needs a newer server/);
    expect(textOf((await rebuild(database, 'notes/today')) ?? new Y.Doc())).toBe('kept');
  });
});

describe('indelible serve', () => {
  test('[C3] says where to click, and listens there', async () => {
    const { stdout } = await spawnServer(await createStorage('postgres'), { HOST: '127.0.0.1' });
    const shown = stdout.join('\n').match(/open (http:\/\/localhost:\d+\/) in two tabs/)?.[1];
    expect((await fetch(`${shown}healthz`)).status).toBe(200);
  });

  test('[C3] a signal to `npm start` stops the server too, which does not live on without npm', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const env = { ...environmentOf(await createStorage('postgres')), PORT: new URL(url).port };
    // Without `prestart`: the page is not needed here.
    const npm = await startProgram('npm', ['start', '--ignore-scripts'], { env });
    await npm.line(/Indelible is ready/, 30_000);
    const started = family(npm.pid).flatMap(family);
    atTestEnd(() => started.forEach((pid) => signal(pid, 'SIGKILL')));
    const editor = await joinAs('y-websocket', url, 'through/npm');
    await npm.kill('SIGTERM');
    expect(await editor.client.closed()).toEqual({ code: 1012, reason: 'draining' });
    await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed');
  });

  test.each(STORAGE_KINDS)('[C3] on a port that is taken it says so and ends, on %s', async (kind) => {
    const { url } = await startServer();
    const port = new URL(url).port;
    const { code, stderr } = await indelible(['serve'], {
      ...environmentOf(await createStorage(kind)),
      PORT: port,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`EADDRINUSE.*${port}`));
  });

  test('[C3] in a directory that cannot hold a database it says so and ends', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
    atTestEnd(() => rm(directory, { recursive: true }));
    await mkdir(join(directory, 'data'));
    await writeFile(join(directory, 'data/pglite'), 'no directory');
    const { code, stderr } = await indelible(['serve'], {
      DATA_DIR: join(directory, 'data'),
      PORT: `${await freePort()}`,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^indelible: .+/);
  });
});
