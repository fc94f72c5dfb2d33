import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { atTestEnd } from './helpers/cleanup.ts';
import { installPackage, type InstalledPackage } from './helpers/package.ts';
import { startNode } from './helpers/processes.ts';
import { repositoryFiles } from './helpers/repository.ts';

/** Starts a server, edits a document through it as a browser would, and prints what it found. */
const PROGRAM = `
import { createServer, IndelibleError } from 'indelible';
import { trackSaves } from 'indelible/browser';
import { IndelibleClient } from 'indelible/client';
import { createToken } from 'indelible/token';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';

const wrong = await createServer({ port: -1 }).catch((error) => error);
const server = await createServer({ port: 0, dataDir: process.env.DATA_DIR, logLevel: 'silent', drainMs: 0 });
const { url } = await server.listen();
const ready = await fetch(url + '/readyz');
const page = await fetch(url + '/');

const doc = new Y.Doc();
const options = { params: { acks: '1' }, disableBc: true };
const provider = new WebsocketProvider(url.replace('http', 'ws'), 'package/test', doc, options);
const saves = trackSaves(provider);
doc.getText('content').insert(0, 'hello');
await new Promise((resolve) => saves.subscribe(() => saves.state === 'saved' && resolve()));
provider.destroy();
const client = new IndelibleClient({ url });
await client.patch('package/test', [{ op: 'append', text: ' there' }]);
const { content } = await client.text('package/test');
const token = await createToken({ secret: 'x'.repeat(32), user: 'anna', access: {} });
const { unwritten } = await server.close();

console.log(JSON.stringify({
  wrong: wrong instanceof IndelibleError && wrong.code,
  ready: [ready.status, (await ready.json()).status],
  page: [page.status, await page.text()],
  unsaved: saves.unsaved,
  content,
  token: token.split('.').length,
  unwritten,
}));
process.exit();
`;

/** A program in TypeScript: what it says must compile, and what it says wrong must not. */
const TYPED_PROGRAM = `
import { createServer, IndelibleError, type Authorize, type CloseResult, type OnLoad } from 'indelible';
import { trackSaves, type SaveState } from 'indelible/browser';
import { ApiError, IndelibleClient, type Operation } from 'indelible/client';
import { createToken } from 'indelible/token';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';

const auth: Authorize = async ({ token, document }) => {
  if (token === null) throw new IndelibleError('unauthorized');
  return { user: document, access: 'read' };
};
const onLoad: OnLoad = async (name) => (name === 'new' ? new Y.Doc() : null);
const server = await createServer({ port: 1234, databaseUrl: 'postgres://db/notes', auth, onLoad });
const { url, port }: { url: string; port: number } = await server.listen();
const { unwritten }: CloseResult = await server.close(AbortSignal.timeout(1000));
const saves = trackSaves(new WebsocketProvider(url, 'notes', new Y.Doc(), { params: { acks: '1' } }));
const state: SaveState = saves.state;
console.log(port, unwritten.join(), state, saves.unsaved);

const token = () => createToken({ secret: 'x'.repeat(32), user: 'anna', access: { 'notes/*': 'admin' } });
const client = new IndelibleClient({ url, token });
const operations: Operation[] = [{ op: 'insert', at: { relative: 'AAA=' }, text: 'x' }];
const etag: string = await client.patch('notes', operations, { ifMatch: '"x"' });
const { positions }: { positions: readonly string[] } = await client.json('notes', { relative: [1], root: 'list' });
console.log(etag, positions, new ApiError(404, {}, null).code === 'document_missing');

// @ts-expect-error there is no such operation
await client.patch('notes', [{ op: 'explode' }]);
// @ts-expect-error there is no such right
await createToken({ secret: '', user: 'anna', access: { a: 'all' } });
// @ts-expect-error a port is a number
await createServer({ port: '1234' });
// @ts-expect-error there is no such option
await createServer({ databaseURL: 'postgres://db/notes' });
// @ts-expect-error there is no such code
throw new IndelibleError('no_such_code');
`;

const COMPILER_OPTIONS = {
  strict: true,
  exactOptionalPropertyTypes: true,
  // The declarations are checked too, with nothing but what a user of the package has installed.
  skipLibCheck: false,
  noEmit: true,
  module: 'nodenext',
  target: 'es2024',
  lib: ['es2024', 'dom'],
  types: ['node'],
};

describe('the package, built and installed elsewhere', () => {
  let installed: InstalledPackage;
  let dataDir: string;

  beforeAll(async () => {
    installed = await installPackage(['yjs', 'y-websocket', '@types/node']);
    dataDir = await mkdtemp(join(tmpdir(), 'indelible-test-'));
    atTestEnd(() => rm(dataDir, { recursive: true, force: true }));
  });

  async function runNode(args: string[], env: Record<string, string> = {}) {
    const child = await startNode(args, { cwd: installed.project, env: { DATA_DIR: dataDir, ...env } });
    const { code } = await child.exited;
    return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
  }

  test('[C5] holds what it needs, each source file once compiled, and nothing else', () => {
    const sources = [...repositoryFiles('server').keys()].filter(
      (path) => path.endsWith('.ts') && !path.endsWith('.d.ts'),
    );
    const built = sources.flatMap((path) => [`${path.slice(0, -3)}.js`, `${path.slice(0, -3)}.d.ts`]);
    const migrations = [...repositoryFiles('migrations').keys()];
    const page = installed.files.filter((file) => file.startsWith('client-demo/dist/'));
    expect(page).toContain('client-demo/dist/index.html');
    expect(installed.files).toEqual(
      [
        ...built.map((file) => `dist/server/${file}`),
        ...migrations.map((file) => `migrations/${file}`),
        ...page,
        'package.json',
        'README.md',
        'LICENSE',
        'CHANGELOG.md',
        'server/ARCHITECTURE.md',
      ].toSorted(),
    );
  });

  test('[C5] gives a program the server, with its page and its embedded database, and the browser helper', async () => {
    await writeFile(join(installed.project, 'program.mjs'), PROGRAM);
    const { code, stdout, stderr } = await runNode(['program.mjs']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      wrong: 'bad_settings',
      ready: [200, 'ready'],
      page: [200, expect.stringContaining('<script')],
      unsaved: 0,
      content: 'hello there',
      token: 3,
      unwritten: [],
    });
  });

  test('[C5] gives the command', async () => {
    const main = join(installed.directory, 'dist/server/main.js');
    expect(await runNode([main, 'help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('usage: indelible'),
    });
    // It runs wherever there is `fetch`.
    const client = await readFile(join(installed.directory, 'dist/server/client.js'), 'utf8');
    expect(client).not.toMatch(/^import /m);
    const migrated = await runNode([main, 'migrate'], { DATA_DIR: join(dataDir, 'fresh') });
    expect(migrated).toMatchObject({ code: 0, stdout: expect.stringContaining('001_documents') });
  });

  test('[C5] has types that compile in a strict program, with the package’s own dependencies alone', async () => {
    await writeFile(join(installed.project, 'program.mts'), TYPED_PROGRAM);
    const config = { compilerOptions: COMPILER_OPTIONS, files: ['program.mts'] };
    await writeFile(join(installed.project, 'tsconfig.json'), JSON.stringify(config));
    const compiler = join(import.meta.dirname, '../node_modules/typescript/bin/tsc');
    expect(await runNode([compiler, '-p', '.'])).toEqual({ code: 0, stdout: '', stderr: '' });
  }, 60_000);
});
