import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { launchChromium } from './helpers/chromium.ts';
import { atTestEnd } from './helpers/cleanup.ts';
import { freePort } from './helpers/ports.ts';
import { startProgram } from './helpers/processes.ts';
import { startServer } from './helpers/server.ts';
import { SECRET, mint } from './helpers/tokens.ts';

const NAME = 'notes/today';

/** What is done in each of them. */
const PROGRAM = `
import { ApiError, IndelibleClient } from './client.js';

export async function use(url, token) {
  const client = new IndelibleClient({ url, token });
  await client.create('${NAME}', { content: 'one' });
  const patch = () => client.patch('${NAME}', [{ op: 'append', text: ' two' }], { idempotencyKey: 'k' });
  const etags = [await patch(), await patch()];
  const { content, etag } = await client.text('${NAME}');
  const { names } = await client.list({ prefix: 'notes/' });
  const error = await client.text('nowhere').catch((error) => error);
  const problem = error instanceof ApiError && [error.status, error.code];
  return { content, isSame: etags.every((each) => each === etag), names, problem };
}`;
const DONE = { content: 'one two', isSame: true, names: [NAME], problem: [404, 'document_missing'] };

const WORKER = `
import { use } from './program.js';

export default { fetch: async (request, { URL, TOKEN }) => Response.json(await use(URL, TOKEN)) };`;

/** Neither is a dependency: their packages bring 90 and 150 MB. */
const lacks = (program: string) => spawnSync(program, ['--version']).status !== 0;

const quote = (text: string) => JSON.stringify(text);
/** No network but the machine itself. */
const workerdConfig = (port: number, url: string, token: string) => `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["local"]))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "program.js", esModule = embed "program.js"),
    (name = "client.js", esModule = embed "client.js"),
  ],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "URL", text = ${quote(url)}), (name = "TOKEN", text = ${quote(token)})],
);`;

describe('[U14] the client', () => {
  let modules: Record<string, string>;
  let directory: string;
  /** Origin of a page. */
  let page: string;
  let url: string;
  let token: string;
  beforeAll(async () => {
    const client = await readFile(join(import.meta.dirname, '../server/client.ts'), 'utf8');
    modules = { 'client.js': stripTypeScriptTypes(client), 'program.js': PROGRAM, 'worker.js': WORKER };
    directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
    atTestEnd(() => rm(directory, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(modules)) await writeFile(join(directory, name), text);
  });
  beforeEach(async () => {
    page = `http://localhost:${await freePort()}`;
    url = (await startServer({ jwtSecret: SECRET, allowedOrigins: [page] })).url;
    token = await mint();
  });

  test('[U14] works in a page of another origin', async () => {
    const server = createServer(({ url: path = '' }, response) => {
      const script = modules[path.slice(1)];
      response.setHeader('Content-Type', script === undefined ? 'text/html' : 'text/javascript');
      response.end(script ?? '<!doctype html>');
    }).listen(Number(new URL(page).port), 'localhost');
    atTestEnd(() => server.close());
    const browser = await launchChromium();
    atTestEnd(() => browser.close());
    const tab = await browser.newPage();
    await tab.goto(page);
    const use = `import('/program.js').then(({ use }) => use(${quote(url)}, ${quote(token)}))`;
    expect(await tab.evaluate(use)).toEqual(DONE);
  });

  test.skipIf(lacks('deno'))('[U14] works in Deno', async () => {
    const main = `import { use } from './program.js'; console.log(JSON.stringify(await use(...Deno.args)));`;
    await writeFile(join(directory, 'main.js'), main);
    const env = { DENO_DIR: directory, DENO_NO_UPDATE_CHECK: '1' };
    const flags = ['--no-remote', '--no-npm', '--no-config', `--allow-net=${new URL(url).host}`];
    const args = ['run', ...flags, 'main.js', url, token];
    const { exited, stdout, stderr } = await startProgram('deno', args, { cwd: directory, env });
    expect({ ...(await exited), stderr }).toEqual({ code: 0, signal: null, stderr: [] });
    expect(JSON.parse(stdout.join(''))).toEqual(DONE);
  });

  test.skipIf(lacks('workerd'))('[U14] works in workerd', async () => {
    const port = await freePort();
    await writeFile(join(directory, 'config.capnp'), workerdConfig(port, url, token));
    await startProgram('workerd', ['serve', join(directory, 'config.capnp')]);
    const answer = await vi.waitFor(() => fetch(`http://127.0.0.1:${port}/`), 10_000);
    expect(await answer.json()).toEqual(DONE);
  });
});
