import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createServer } from '../../server/index.ts';
import { launchChromium } from '../helpers/chromium.ts';

const artefacts = new URL('../artefacts/', import.meta.url).pathname;
const built = new URL('../../client-demo/dist/index.html', import.meta.url);
/** For what takes a reconnect or a commit, in ms. */
const patience = { timeout: 15_000 };

let dataDir: string;
let browser: Browser;
let server: Awaited<ReturnType<typeof createServer>>;
let url: string;
let contexts: BrowserContext[] = [];
let problems: string[] = [];

beforeAll(async () => {
  if (!existsSync(built)) throw new Error('The page is not built: npm run build:page');
  dataDir = await mkdtemp(join(tmpdir(), 'indelible-page-'));
  browser = await launchChromium();
  await start(0);
}, 300_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(dataDir, { recursive: true, force: true });
});

afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  const seen = problems.splice(0);
  if (seen.length > 0) throw new Error(`The browser's console reports:\n${seen.join('\n')}`);
});

async function start(port: number): Promise<void> {
  server = await createServer({ port, dataDir, logLevel: 'silent' });
  ({ url } = await server.listen());
}

/** A browser of its own: nothing is shared with the others. */
async function newBrowser(): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 640 } });
  context.on('console', (message) => {
    // A browser reports every attempt to reach a server that is out of reach.
    if (message.type() === 'error' && !/ERR_(CONNECTION_REFUSED|INTERNET_DISCONNECTED)/.test(message.text()))
      problems.push(message.text());
  });
  context.on('weberror', (event) => problems.push(event.error().message));
  contexts.push(context);
  return context;
}

async function open(context: BrowserContext, name: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${url}/#/${name}`);
  await saved(page);
  return page;
}

async function openAs(person: string, name: string): Promise<Page> {
  const page = await open(await newBrowser(), name);
  await page.getByLabel('Your name').fill(person);
  return page;
}

// Not by text alone: what screen readers are told stands in the page as well.
const saved = (page: Page): Promise<void> =>
  page.locator('#saves', { hasText: 'All changes saved' }).waitFor(patience);
const status = (page: Page): Promise<string> => page.locator('#status').innerText();
const editor = (page: Page): Locator => page.getByRole('textbox', { name: 'Text of the document' });
const others = (page: Page): Locator => page.getByRole('list', { name: 'Others here' }).getByRole('listitem');
const cursors = (page: Page): Locator => page.locator('.remote-name');

/** The text in the editor, without the names at the cursors. */
const textOf = (page: Page): Promise<string> =>
  editor(page).evaluate((content) => {
    const copy = document.createElement('div');
    copy.append(content.cloneNode(true));
    for (const extra of copy.querySelectorAll('.remote-caret, .cm-placeholder')) extra.remove();
    return [...copy.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n');
  });

async function write(page: Page, text: string): Promise<void> {
  await editor(page).focus();
  await page.keyboard.type(text);
}

test('[E1] the page is served with a Content-Security-Policy without inline code or styles', async () => {
  const { headers } = await fetch(url);
  const policy = headers.get('content-security-policy');
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
});

test('[E2] two browsers that write at the same time end with the same text, saved', async () => {
  const [ada, bob] = [await openAs('Ada', 'notes/both'), await openAs('Bob', 'notes/both')];
  await expect.poll(() => editor(ada).textContent()).toContain('Open this page in a second tab');
  await Promise.all([write(ada, 'from ada '), write(bob, 'from bob ')]);
  await expect.poll(async () => (await textOf(ada)).length, patience).toBe(18);
  await expect.poll(async () => (await textOf(bob)) === (await textOf(ada)), patience).toBe(true);
  await Promise.all([saved(ada), saved(bob)]);
  const carol = await openAs('Carol', 'notes/both');
  await expect.poll(() => textOf(carol), patience).toBe(await textOf(ada));
});

test('[E3] names and cursors of the others appear, and disappear when they leave', async () => {
  const [ada, bob] = [await openAs('Ada', 'presence'), await openAs('Bob', 'presence')];
  await expect.poll(() => others(ada).allInnerTexts(), patience).toEqual([expect.stringContaining('Bob')]);
  await expect.poll(() => others(bob).allInnerTexts(), patience).toEqual([expect.stringContaining('Ada')]);
  await write(bob, 'here I am');
  await expect.poll(() => cursors(ada).allTextContents(), patience).toEqual(['Bob']);
  await bob.getByLabel('Your name').fill('Robert');
  await expect.poll(() => cursors(ada).allTextContents(), patience).toEqual(['Robert']);
  await ada.screenshot({ path: join(artefacts, 'page-presence.png') });
  await bob.close();
  await expect.poll(() => others(ada).count(), patience).toBe(0);
  await expect.poll(() => cursors(ada).count(), patience).toBe(0);
  await ada.getByText('Nobody else is here.').waitFor(patience);
});

test('[E4] two tabs of one browser share the text, and each sees the other come and go', async () => {
  const context = await newBrowser();
  const [one, two] = [await open(context, 'tabs'), await open(context, 'tabs')];
  await expect.poll(() => others(one).count(), patience).toBe(1);
  await expect.poll(() => others(two).count(), patience).toBe(1);
  await write(one, 'first');
  await expect.poll(() => textOf(two), patience).toBe('first');
  await write(two, 'second ');
  await expect.poll(() => textOf(one), patience).toBe('second first');
  await Promise.all([saved(one), saved(two)]);
  await expect.poll(() => cursors(two).count(), patience).toBe(1);
  await one.close();
  await expect.poll(() => others(two).count(), patience).toBe(0);
});

test('[E5] a name is text, whatever is in it', async () => {
  const name = '<img src=x onerror=alert(1)>';
  const [ada, mallory] = [await openAs('Ada', 'names'), await openAs(name, 'names')];
  await write(mallory, 'hello');
  await expect.poll(() => others(ada).allInnerTexts(), patience).toEqual([expect.stringContaining(name)]);
  await expect.poll(() => cursors(ada).allTextContents(), patience).toEqual([name]);
  expect(await ada.locator('img[src]').count()).toBe(0);
  await ada.screenshot({ path: join(artefacts, 'page-names.png') });
});

test('[E6] when the server stops the page says so and keeps the edits; when it is back they are saved', async () => {
  const [ada, bob] = [await openAs('Ada', 'outage'), await openAs('Bob', 'outage')];
  await write(ada, 'before. ');
  await saved(ada);
  await server.close();
  await ada.locator('#line', { hasText: 'Offline' }).waitFor(patience);
  expect(await others(ada).count()).toBe(0);
  await write(ada, 'xyz');
  await expect.poll(() => status(ada), patience).toContain('3 edits not saved yet');
  await ada.screenshot({ path: join(artefacts, 'page-offline.png') });

  await start(Number(new URL(url).port));
  await saved(ada);
  await saved(bob);
  await expect.poll(() => textOf(bob), patience).toBe('before. xyz');
  await expect.poll(() => others(ada).allInnerTexts(), patience).toEqual([expect.stringContaining('Bob')]);
  await ada.screenshot({ path: join(artefacts, 'page-saved.png') });
  const carol = await openAs('Carol', 'outage');
  await expect.poll(() => textOf(carol), patience).toBe('before. xyz');
});

test('[E7] another address in the same tab is another document', async () => {
  const ada = await openAs('Ada', 'one');
  await write(ada, 'the first');
  await saved(ada);
  await ada.goto(`${url}/#/two/with space`);
  await ada.getByRole('heading', { name: 'two/with space' }).waitFor(patience);
  await saved(ada);
  expect(await textOf(ada)).toBe('');
  await ada.goBack();
  await expect.poll(() => textOf(ada), patience).toBe('the first');
});

test('[E8] presence states that are not what they should be harm nobody', async () => {
  const ada = await openAs('Ada', 'hostile');
  const provider = new WebsocketProvider(url.replace('http', 'ws'), 'hostile', new Y.Doc());
  const { awareness } = provider;
  const end = Y.createRelativePositionFromTypeIndex(provider.doc.getText('content'), 0);
  const states = [
    { user: 'nobody', cursor: 'nowhere' },
    {
      user: { name: { toString: 1 }, color: 'red; background: url(//example.org)' },
      cursor: { anchor: end, head: [] },
    },
    {
      user: { name: '\u202E\n', color: '#12345' },
      cursor: { anchor: { type: { client: -1, clock: {} } }, head: end },
    },
    { user: null, cursor: { anchor: { item: { client: 'x', clock: 1e9 } }, head: { tname: '__proto__' } } },
  ];
  for (const state of states) {
    awareness.setLocalState(state);
    await expect
      .poll(() => others(ada).allInnerTexts(), patience)
      .toEqual([expect.stringContaining('Anonymous')]);
    expect(await cursors(ada).count()).toBe(0);
  }
  awareness.setLocalState({ user: { name: 'Eve', color: 'red' }, cursor: { anchor: end, head: end } });
  await expect.poll(() => cursors(ada).allTextContents(), patience).toEqual(['Eve']);
  expect(
    await cursors(ada)
      .locator('..')
      .evaluate((caret) => caret.style.getPropertyValue('--colour')),
  ).toBe('#7a7a7a');
  provider.destroy();
});

test('[E9] when the browser goes offline the page says so, and saves when it is back', async () => {
  const ada = await openAs('Ada', 'plane');
  await ada.context().setOffline(true);
  await ada.locator('#line', { hasText: 'Offline' }).waitFor(patience);
  await write(ada, 'up');
  await expect.poll(() => status(ada), patience).toContain('2 edits not saved yet');
  await ada.context().setOffline(false);
  await saved(ada);
});

test('[E10] leaving with edits that are not saved asks first', async () => {
  const ada = await openAs('Ada', 'leaving');
  const asked: string[] = [];
  ada.on('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await ada.context().setOffline(true);
  await ada.locator('#line', { hasText: 'Offline' }).waitFor(patience);
  await write(ada, 'x');
  await ada.goto('about:blank');
  expect(asked).toEqual(['beforeunload']);
});
