import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { openPersistentContext } from '../helpers/chromium.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import {
  Visit,
  countSockets,
  newTab,
  passUntil,
  patience,
  startBrowser,
  visit,
  visitByClock,
  watchConsole,
} from '../helpers/pages.ts';
import { freePort } from '../helpers/ports.ts';
import { startProxy } from '../helpers/proxy.ts';
import { spawnServer, startServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';

let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
});

/** A page that waits as long as it may before it comes back, and for which time passes when it is told to. */
const openWaiting = (url: string, name: string) =>
  visitByClock(browser, url, name, { script: () => (Math.random = () => 0.999) });

test('[E6] when the server stops the page says so and keeps the edits; when it is back they are saved', async () => {
  const storage = await createStorage('postgres');
  const port = await freePort();
  const { url, server } = await startServer({ ...storage, port });
  const open = (person: string) => visit(browser, url, 'outage', { person });
  const [ada, bob] = [await open('Ada'), await open('Bob')];
  await ada.write('before. ');
  await ada.saved();
  await server.close();
  await ada.says('Server restarting');
  expect(await ada.notice.innerText()).toContain('Keep writing: it is kept in this browser');
  await ada.names();
  await ada.write('xyz');
  await ada.says('3 edits not saved yet');
  await ada.screenshot('restarting');

  await startServer({ ...storage, port });
  await ada.saved();
  await bob.saved();
  await bob.reads('before. xyz');
  await ada.names('Bob');
  expect(await ada.page.locator('#notice').isVisible()).toBe(false);
  const carol = await open('Carol');
  await carol.reads('before. xyz');
});

test('[E9] when the browser goes offline the page says so, and saves when it is back', async () => {
  const { url } = await startServer();
  const ada = await visit(browser, url, 'plane', { person: 'Ada' });
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.write('up');
  await ada.says('2 edits not saved yet');
  await ada.screenshot('offline');
  await ada.page.context().setOffline(false);
  await ada.saved();
  const bob = await visit(browser, url, 'plane');
  expect(await bob.text()).toBe('up');
});

test('[B49] edits that are on their way are counted, until they are acknowledged', async () => {
  const { url } = await startServer();
  const proxy = await startProxy(url);
  const ada = await visit(browser, proxy.url, 'on-the-way', { person: 'Ada' });
  proxy.blackHole('up');
  await ada.write('x');
  await ada.says('Saving 1 edit…');
  await ada.write('yz');
  await ada.says('Saving 3 edits…');
  proxy.heal();
  await ada.saved();
  const bob = await visit(browser, url, 'on-the-way');
  expect(await bob.text()).toBe('xyz');
});

test('[E10] leaving with edits that are not saved asks first', async () => {
  const { url } = await startServer();
  const ada = await visit(browser, url, 'leaving', { person: 'Ada' });
  const asked: string[] = [];
  ada.page.on('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.write('x');
  await ada.page.goto('about:blank');
  expect(asked).toEqual(['beforeunload']);
});

test('[B25] what is written offline, before and after a reload, meets what others write meanwhile', async () => {
  const { url } = await startServer();
  const open = (person: string) => visit(browser, url, 'train', { person });
  const [ada, bob] = [await open('Ada'), await open('Bob')];
  await ada.write('both ');
  await ada.saved();
  await bob.reads('both ');
  await ada.kept();
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.press('Control+End');
  await ada.write('ada');
  await bob.press('Control+Home');
  await bob.write('bob ');
  await bob.saved();
  await ada.stored();
  await ada.page.reload();
  await ada.reads('both ada');
  await ada.says('3 edits not saved yet');
  await ada.press('Control+End');
  await ada.write('!');
  await ada.says('4 edits not saved yet');
  await ada.page.context().setOffline(false);
  await ada.saved();
  await bob.reads('bob both ada!');
  expect(await ada.text()).toBe('bob both ada!');
});

test('[B42] a tab says "saved" of nothing that another tab could not send', async () => {
  const { url } = await startServer();
  const one = await visit(browser, url, 'halves', { person: 'Ada' });
  const two = await newTab(one, url, 'halves');
  const network = await one.page.context().newCDPSession(one.page);
  const setOffline = (offline: boolean) =>
    network.send('Network.emulateNetworkConditions', {
      offline,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput: -1,
    });
  await setOffline(true);
  await one.says('Offline');
  await one.write('one');
  await one.says('3 edits not saved yet');
  // Typing and its ack take longer than the way from tab to tab.
  await two.write('two');
  await two.saved();
  expect(await two.text()).toBe('two');
  await setOffline(false);
  await one.saved();
  await expect.poll(async () => (await two.text()).length, patience).toBe(6);
  await one.reads(await two.text());
});

test('[B26] what is written without the server outlives the end of the browser', async () => {
  const storage = await createStorage('postgres');
  const port = await freePort();
  const { url, server } = await startServer({ ...storage, port });
  const profile = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const start = async () => {
    const context = await openPersistentContext(profile);
    watchConsole(context);
    return new Visit(context.pages()[0] ?? (await context.newPage()));
  };

  const ada = await start();
  await ada.open(url, 'island');
  await ada.write('saved, ');
  await ada.saved();
  await ada.kept();
  await server.close();
  await ada.write('kept');
  await ada.says('4 edits not saved yet');
  await ada.stored();
  await ada.page.context().close();

  const later = await start();
  await later.page.goto(`${url}/#/island`);
  await later.reads('saved, kept');
  await later.says('4 edits not saved yet');
  await startServer({ ...storage, port });
  await later.saved();
  const bob = await visit(browser, url, 'island');
  expect(await bob.text()).toBe('saved, kept');
});

test('[B27] a server that is killed while people type loses nothing, and the page shows what is going on', async () => {
  const storage = await createStorage('postgres');
  const first = await spawnServer(storage);
  const { url } = first;
  const open = (person: string) => visit(browser, url, 'killed', { person });
  const [ada, bob] = [await open('Ada'), await open('Bob')];
  // Everything that the page says, in order.
  const said = await ada.page.evaluateHandle(() => {
    const texts: string[] = [];
    const status = document.querySelector('#status') as HTMLElement;
    new MutationObserver(() => texts.push(status.innerText.replaceAll('\n', ' '))).observe(status, {
      subtree: true,
      characterData: true,
      childList: true,
    });
    return texts;
  });
  const [letters, digits] = ['abcdefghijklmnopqrstuvwxyz'.repeat(4), '0123456789'.repeat(10)];
  const typing = Promise.all([ada.write(letters, { delay: 15 }), bob.write(digits, { delay: 15 })]);
  for (const person of [ada, bob]) await expect.poll(() => person.text(), patience).toMatch(/z.*9|9.*z/);
  await first.kill('SIGKILL');
  await ada.says('No connection');
  await typing;
  await bob.says('No connection');
  await ada.screenshot('killed');
  await spawnServer(storage, { PORT: new URL(url).port });
  await Promise.all([ada.saved(), bob.saved()]);
  const length = letters.length + digits.length;
  await expect.poll(async () => (await ada.text()).length, patience).toBe(length);
  const text = await ada.text();
  expect([text.replaceAll(/\d/g, ''), text.replaceAll(/\D/g, '')]).toEqual([letters, digits]);
  await bob.reads(text);
  const carol = await open('Carol');
  await carol.reads(text);
  const lines = await said.jsonValue();
  const lost = lines.findIndex((line) => line.includes('No connection'));
  const back = lines.findLastIndex((line) => line.includes('No connection'));
  expect(lines.slice(lost, back).filter((line) => /All changes saved|Online/.test(line))).toEqual([]);
  expect(lines.at(-1)).toContain('All changes saved');
});

test('[B28] the network panel counts what goes over the line', async () => {
  const { url } = await startServer();
  const open = (person: string) => visit(browser, url, 'counted', { person });
  const [ada, bob] = [await open('Ada'), await open('Bob')];
  await ada.page.getByRole('button', { name: 'Network', exact: true }).click();
  const value = (name: string) =>
    ada.page.locator('#network div', { hasText: name }).getByRole('definition').innerText();
  await expect.poll(() => value('Edits sent'), patience).toBe('0');
  await ada.write('abc');
  await expect.poll(() => value('Edits sent'), patience).toBe('3');
  await expect.poll(() => value('of those saved'), patience).toBe('3');
  await bob.reads('abc');
  await bob.write('de');
  await expect.poll(() => value('Edits received'), patience).toBe('2');
  await expect.poll(() => value('Server answers in'), patience).toMatch(/\d ms$/);
  await expect.poll(() => value('Last edit saved in'), patience).toMatch(/\d ms$/);
  await expect.poll(() => value('People here'), patience).toBe('2');
  await expect.poll(() => value('Presence'), patience).toMatch(/^[1-9]\d* \/ [1-9]\d*$/);
  expect(await value('Reconnects')).toBe('0');
  await ada.screenshot('network');
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.page.context().setOffline(false);
  await ada.saved();
  await expect.poll(() => value('Reconnects'), patience).toBe('1');
});

test('[B17] a server that falls silent is come back to like one that is gone', async () => {
  const { url } = await startServer();
  const proxy = await startProxy(url);
  const ada = await openWaiting(proxy.url, 'silent');
  const attempts = countSockets(ada);
  proxy.blackHole();
  // The provider has heard nothing for 30 s when it looks the next time.
  await passUntil(ada, () => ada.tryNow.isVisible());
  expect(attempts()).toBe(0);
  proxy.heal();
  expect(await passUntil(ada, () => attempts() > 0)).toBeGreaterThan(4000);
  await ada.page.clock.resume();
  await ada.saved();
});

test('[B17] a page whose server is gone tries again when its time has come, and not before', async () => {
  const { url, server } = await startServer();
  const ada = await openWaiting(url, 'waiting');
  const attempts = countSockets(ada);
  await server.close();
  for (const [before, seconds] of [5, 10, 15].entries()) {
    // It has failed, and waits.
    await ada.tryNow.waitFor(patience);
    const waited = await passUntil(ada, () => attempts() > before);
    expect(attempts()).toBe(before + 1);
    expect(waited).toBeGreaterThan((seconds - 1) * 1000);
    expect(waited).toBeLessThan((seconds + 2) * 1000);
  }
});
