import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeSettings } from '../server/config.ts';
import { atTestEnd } from './helpers/cleanup.ts';
import { joinAs, PROTOCOLS } from './helpers/editor.ts';
import { freePort } from './helpers/ports.ts';
import { family, signal } from './helpers/process-table.ts';
import { startNode, startProgram } from './helpers/processes.ts';
import { UpgradeRefused } from './helpers/raw-client.ts';
import { spawnServer, startServer } from './helpers/server.ts';
import { createStorage, environmentOf, openStorage, STORAGE_KINDS } from './helpers/storage.ts';

const JWT_SECRET = 'a key that is long enough for HS256, of 32 characters';

/** Runs the command line to its end. */
async function indelible(words: string[], env: Record<string, string> = {}) {
  const child = await startNode(['server/main.ts', ...words], { env });
  const { code } = await child.exited;
  return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
}

describe('indelible help', () => {
  test.each([['help'], ['--help'], ['-h'], ['serve --help'], ['']])(
    '[C3] `indelible %s` shows every command and every setting with its default',
    async (words) => {
      const { code, stdout, stderr } = await indelible(words.split(' ').filter(Boolean));
      expect([code, stderr]).toEqual([0, '']);
      for (const command of ['serve', 'migrate', 'token', 'help']) {
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
    ['access of no kind', 'token --access notes/*=admin', /--access takes <pattern>=read or <pattern>=write/],
    ['access without a pattern', 'token --access =read', /--access takes/],
    ['no time', 'token --hours 0', /--hours takes a number above 0/],
    ['endless time', 'token --hours Infinity', /--hours takes a number above 0/],
    ['nobody', 'token --sub=', /--sub takes/],
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
    '[C3] mints a token that a server with the same key accepts, over %s',
    async (protocol) => {
      const minted = await indelible(['token', '--sub', 'alice', '--access', 'notes/*=write'], {
        JWT_SECRET,
      });
      expect([minted.code, minted.stderr]).toEqual([0, '']);
      const storage = await createStorage('postgres');
      const { url } = await startServer({ ...storage, jwtSecret: JWT_SECRET });
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
    const mint = async (words: string, key = JWT_SECRET) =>
      (await indelible(['token', ...words.split(' ')], { JWT_SECRET: key })).stdout;
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
