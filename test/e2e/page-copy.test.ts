import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ServerOptions } from '../../server/index.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { updateOf } from '../helpers/editor.ts';
import { Visit, countSockets, newContext, newTab, patience, servePages, visit } from '../helpers/pages.ts';
import { freePort } from '../helpers/ports.ts';
import { startNode } from '../helpers/processes.ts';
import { startServer } from '../helpers/server.ts';

const pages = servePages();

/** The page alone, with hot reload, for a server elsewhere. */
async function servePageAlone(server: string, port: number) {
  const args = ['client-demo', '--host', '127.0.0.1', '--port', `${port}`, '--strictPort'];
  const vite = await startNode(['node_modules/vite/bin/vite.js', ...args], {
    env: { VITE_INDELIBLE_URL: server },
  });
  await vite.line(/ready in/, 30_000);
  return vite;
}

test.each([
  [
    'is full',
    () => {
      IDBObjectStore.prototype.put = function () {
        this.transaction.abort();
        return new EventTarget() as IDBRequest<IDBValidKey>;
      };
    },
  ],
  ['does not answer', () => (IDBFactory.prototype.open = () => new EventTarget() as IDBOpenDBRequest)],
])('[B43] a browser whose database %s is not said to keep anything', async (_case, spoil) => {
  const ada = new Visit(await (await newContext(pages.browser)).newPage());
  await ada.page.addInitScript(spoil);
  await ada.open(pages.url, 'unkept');
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  expect(await ada.notice.innerText()).toContain('it is kept in this tab, so leave it open');
});

test('[B44] the page runs alone, for the server that it is told; what is kept of one server does not mix with another', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const [one, two] = [await startServer(), await startServer()];
  const alone = await servePageAlone(one.url, port);
  const ada = new Visit(await (await newContext(pages.browser)).newPage());
  await ada.open(url, 'same/name');
  await ada.write('at one');
  await ada.saved();
  expect((await one.server.documents.read('same/name'))?.text()).toBe('at one');
  await one.server.close();
  await ada.write('!');
  await ada.says('1 edit not saved yet');
  await ada.stored();
  await alone.kill();

  const other = await servePageAlone(two.url, port);
  const there = await newTab(ada, url, 'same/name');
  await ada.page.close();
  expect(await there.text()).toBe('');
  await there.write('at two');
  await there.saved();
  expect((await two.server.documents.read('same/name'))?.text()).toBe('at two');
  await other.kill();

  await servePageAlone(one.url, port);
  await there.page.reload();
  await there.reads('at one!');
  await there.says('1 edit not saved yet');
});

const LIMIT = 20_000;

/** Somebody with more than the server takes at once, which it has refused. */
async function overflow(
  name: string,
  limits: ServerOptions = { limitFrameBytes: LIMIT },
): Promise<{ ada: Visit; url: string }> {
  const { url } = await startServer(limits);
  const ada = await visit(pages.browser, url, name);
  await ada.write('before. ');
  await ada.saved();
  await ada.paste('too much '.repeat(LIMIT / 5));
  await ada.says('Too large');
  return { ada, url };
}

test('[B45] what is too large can be made smaller, also after a reload, and is saved then', async () => {
  const { ada, url } = await overflow('long');
  expect(await ada.notice.innerText()).toContain('Your edits are more at once than the server takes');
  await ada.screenshot('too-large');
  await ada.stored();
  await ada.page.reload();
  await ada.says('Too large');
  await ada.press('Control+a');
  await ada.write('less');
  await ada.says('not saved');
  await ada.tryNow.click();
  await ada.saved();
  const bob = await visit(pages.browser, url, 'long');
  expect(await bob.text()).toBe('less');
});

test.each([
  ['a frame', { limitFrameBytes: LIMIT }, 'Your edits are more at once'],
  ['a document', { limitDocumentBytes: LIMIT }, 'With your edits the document is too large'],
])(
  '[B45] at the limit of %s what was pasted and deleted again weighs nothing',
  async (what, limits, reason) => {
    const { ada } = await overflow(`undone ${what}`, limits);
    expect(await ada.notice.innerText()).toContain(reason);
    await ada.press('Control+z');
    await ada.reads('before. ');
    await ada.tryNow.click();
    await ada.saved();
    expect(await ada.page.locator('#notice').isVisible()).toBe(false);
  },
);

test('[B45] or the copy of this browser is discarded, and the text is that of the server', async () => {
  const { ada } = await overflow('discarded');
  await ada.stored();
  await ada.discard();
  await ada.saved();
  await ada.reads('before. ');
  await ada.page.reload();
  await ada.saved();
  expect(await ada.text()).toBe('before. ');
});

test('[B46] a copy of a deleted document stays out of the next one of its name, until it is discarded', async () => {
  const { url, server } = await startServer();
  const ada = await visit(pages.browser, url, 'reused');
  await ada.write('the old one');
  await ada.saved();
  await server.documents.delete('reused');
  await ada.says('Deleted');
  expect(await ada.notice.innerText()).toContain('This document has been deleted');
  await server.documents.create('reused', { content: updateOf('the new one') });
  await ada.stored();
  const sockets = countSockets(ada);
  await ada.page.reload();
  await ada.says('Deleted');
  await ada.reads('the old one');
  await ada.screenshot('deleted');
  const bob = await visit(pages.browser, url, 'reused');
  expect(await bob.text()).toBe('the new one');
  expect(sockets()).toBe(0);
  await ada.discard();
  await ada.saved();
  await ada.reads('the new one');
  expect(await bob.text()).toBe('the new one');
});

test('[B46] one that was restored is taken up again when somebody says so', async () => {
  const { url, server } = await startServer();
  const ada = await visit(pages.browser, url, 'restored');
  await ada.write('still here');
  await ada.saved();
  await server.documents.delete('restored');
  await ada.says('Deleted');
  await server.documents.restore('restored');
  await ada.tryNow.click();
  await ada.saved();
  await ada.page.reload();
  await ada.saved();
  expect(await ada.text()).toBe('still here');
});

const dist = fileURLToPath(new URL('../../client-demo/dist/', import.meta.url));

/** Serves the files of the page, and no documents. */
async function serveFiles() {
  const files = new Map<string, string>();
  for (const path of await readdir(dist, { recursive: true })) {
    if (path.includes('.')) files.set(`/${path}`, await readFile(join(dist, path), 'utf8'));
  }
  const server = createServer(({ url = '' }, response) => {
    const path = url === '/' ? '/index.html' : url;
    const type = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };
    response.setHeader('Content-Type', type[path.split('.').at(-1) as keyof typeof type] ?? 'text/plain');
    response.statusCode = files.has(path) ? 200 : 404;
    response.end(files.get(path));
  });
  server.on('upgrade', (_request, socket) => socket.destroy());
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  atTestEnd(() => server.close());
  return { files, url: `http://127.0.0.1:${port}` };
}

test('[B50] a new build takes the place of the page that a browser keeps', async () => {
  const { files, url } = await serveFiles();
  const script = [...files.keys()].find((path) => /^\/assets\/page-.*\.js$/.test(path)) ?? '';
  const ada = new Visit(await (await newContext(pages.browser, { allowed: /WebSocket/ })).newPage());
  const keptScripts = () =>
    ada.page.evaluate(async () => {
      const kept = await (await caches.open('indelible-page')).keys();
      return kept.map((request) => new URL(request.url).pathname).filter((path) => path.endsWith('.js'));
    });
  const shownScript = () =>
    ada.page.evaluate(() => new URL(document.querySelector('script')?.src ?? '').pathname);
  await ada.page.goto(url);
  await ada.kept();
  expect(await keptScripts()).toEqual([script]);

  const renamed = '/assets/page-renamed.js';
  files.set(renamed, files.get(script) ?? '');
  files.set('/index.html', files.get('/index.html')?.replace(script, renamed) ?? '');
  files.delete(script);
  await ada.page.reload();
  expect(await shownScript()).toBe(renamed);
  await expect.poll(keptScripts, patience).toEqual([renamed]);
  await ada.page.context().setOffline(true);
  await ada.page.reload();
  await ada.says('Offline');
  expect(await shownScript()).toBe(renamed);
});
