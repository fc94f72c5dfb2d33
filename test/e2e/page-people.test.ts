import { expect, test } from 'vitest';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { atTestEnd } from '../helpers/cleanup.ts';
import { newTab, patience, servePages, visit, visitByClock } from '../helpers/pages.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer } from '../helpers/server.ts';

const pages = servePages();

const open = (person: string, name: string) => visit(pages.browser, pages.url, name, { person });

test('[E3] names and cursors of the others appear, and disappear when they leave', async () => {
  const [ada, bob] = [await open('Ada', 'presence'), await open('Bob', 'presence')];
  await ada.names('Bob');
  await bob.names('Ada');
  await bob.write('here I am');
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Bob']);
  await bob.call('Robert');
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Robert']);
  await ada.names('Robert');
  await ada.screenshot('presence');
  await bob.page.close();
  await ada.names();
  await expect.poll(() => ada.cursors.count(), patience).toBe(0);
  await ada.page.getByText('Nobody else is here.').waitFor(patience);
});

test('[E3] who has lost the line is there again, and sees the others, as soon as it is back', async () => {
  const { url } = await startServer();
  const proxy = await startProxy(url);
  const ada = await visit(pages.browser, proxy.url, 'back', { person: 'Ada' });
  const bob = await visit(pages.browser, url, 'back', { person: 'Bob' });
  await Promise.all([ada.names('Bob'), bob.names('Ada')]);
  proxy.reset();
  await Promise.all([ada.names(), bob.names()]);
  await ada.tryNow.click();
  await ada.saved();
  // They say that they are there every 15 s, which is not waited for.
  const soon = { timeout: 3000 };
  await expect.poll(() => ada.others.locator('bdi').allInnerTexts(), soon).toEqual(['Bob']);
  await expect.poll(() => bob.others.locator('bdi').allInnerTexts(), soon).toEqual(['Ada']);
});

test('[E4] two tabs of one browser share the text, and are one person: the one in the tab used last', async () => {
  const carol = await open('Carol', 'tabs');
  const one = await open('Ada', 'tabs');
  const two = await newTab(one, pages.url, 'tabs');
  await carol.names('Ada');
  await one.write('first');
  await two.reads('first');
  await expect.poll(() => carol.cursors.count(), patience).toBe(1);
  await expect
    .poll(() => two.others.allInnerTexts(), patience)
    .toContainEqual(expect.stringContaining('another tab'));
  await one.names('Carol');
  await two.press('Control+Home');
  await two.write('second ');
  await one.reads('second first');
  await two.names('Carol');
  await carol.names('Ada');
  await expect.poll(() => carol.cursors.count(), patience).toBe(1);
  await Promise.all([one.saved(), two.saved()]);
  await two.page.close();
  await carol.names('Ada');
  await one.names('Carol');
  await one.page.close();
  await carol.names();
});

test('[E5] a name is text, whatever is in it', async () => {
  const name = '<img src=x onerror=alert(1)>';
  const [ada, mallory] = [await open('Ada', 'names'), await open(name, 'names')];
  await mallory.write('hello');
  await ada.names(name);
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual([name]);
  expect(await ada.page.locator('img[src]').count()).toBe(0);
  await ada.screenshot('names');
});

test('[E8] presence states that are not what they should be harm nobody', async () => {
  const ada = await open('Ada', 'hostile');
  const provider = new WebsocketProvider(pages.url.replace('http', 'ws'), 'hostile', new Y.Doc());
  atTestEnd(() => provider.destroy());
  const { awareness } = provider;
  const end = Y.createRelativePositionFromTypeIndex(provider.doc.getText('content'), 0);
  const states = [
    { user: 'nobody', cursor: 'nowhere', idle: 'very' },
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
    // In between, so that it is this state that the page shows.
    awareness.setLocalState({ user: { name: 'Eve', color: 'red' }, cursor: { anchor: end, head: end } });
    await ada.names('Eve');
    await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Eve']);
    awareness.setLocalState(state);
    await ada.names('Anonymous');
    await expect.poll(() => ada.cursors.count(), patience).toBe(0);
  }
  awareness.setLocalState({ user: { name: 'Eve', color: 'red' }, cursor: { anchor: end, head: end } });
  await ada.names('Eve');
  const caret = ada.page.locator('.remote-caret');
  expect(await caret.evaluate((span) => span.style.getPropertyValue('--colour'))).toBe('#7a7a7a');
});

test('[B18] pressing an avatar goes to the cursor', async () => {
  const [ada, bob] = [await open('Ada', 'jump'), await open('Bob', 'jump')];
  await bob.editor.focus();
  await bob.page.keyboard.insertText(`${'line\n'.repeat(150)}the end`);
  await bob.saved();
  await ada.names('Bob');
  expect(await ada.page.getByText('the end').count()).toBe(0);
  await ada.page.getByRole('button', { name: 'Bob' }).click();
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Bob']);
  await expect.poll(() => ada.page.getByText('the end').isVisible(), patience).toBe(true);
});

test('[B18] pressing the avatar of somebody without a cursor says so', async () => {
  const [ada] = [await open('Ada', 'cursorless'), await open('Bob', 'cursorless')];
  await ada.page.getByRole('button', { name: 'Bob' }).click();
  await ada.page
    .getByRole('status')
    .filter({ hasText: 'Bob has no cursor in the text yet' })
    .waitFor(patience);
  expect(await ada.others.allInnerTexts()).toEqual([expect.stringContaining('no cursor yet')]);
  await expect.poll(() => ada.others.allInnerTexts(), patience).toEqual(['B\nBob']);
});

test('[B19] who does not look at the page is shown as idle, until they are back', async () => {
  const [ada, bob] = [await open('Ada', 'idle'), await open('Bob', 'idle')];
  await ada.names('Bob');
  const turnTo = (state: 'hidden' | 'visible') =>
    bob.page.evaluate((visibility) => {
      Object.defineProperty(document, 'visibilityState', { value: visibility, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  await turnTo('hidden');
  await expect.poll(() => ada.others.allInnerTexts(), patience).toEqual([expect.stringContaining('idle')]);
  await ada.screenshot('idle');
  await turnTo('visible');
  await expect
    .poll(() => ada.others.allInnerTexts(), patience)
    .toEqual([expect.not.stringContaining('idle')]);
});

test('[B19] so is who has not touched it for 30 s', async () => {
  const ada = await open('Ada', 'untouched');
  const bob = await visitByClock(pages.browser, pages.url, 'untouched', { person: 'Bob' });
  await ada.names('Bob');
  const remarks = () => ada.others.locator('small').allInnerTexts();
  await bob.page.clock.runFor(25_000);
  await bob.page.keyboard.press('Shift');
  await bob.page.clock.runFor(25_000);
  expect(await remarks()).toEqual(['']);
  await bob.page.clock.runFor(6000);
  await expect.poll(remarks, patience).toEqual(['idle']);
  await bob.page.keyboard.press('Shift');
  await expect.poll(remarks, patience).toEqual(['']);
});

test('[B48] who has not been heard of for 20 s is shown as not responding', async () => {
  const proxy = await startProxy(pages.url);
  const ada = await visitByClock(pages.browser, pages.url, 'unheard', { person: 'Ada' });
  const bob = await visit(pages.browser, proxy.url, 'unheard', { person: 'Bob' });
  await ada.names('Bob');
  proxy.blackHole();
  await ada.page.clock.runFor(15_000);
  const remarks = () => ada.others.locator('small').allInnerTexts();
  expect(await remarks()).toEqual(['']);
  await ada.page.clock.runFor(10_000);
  await expect.poll(remarks, patience).toEqual(['not responding']);
  proxy.heal();
  await bob.call('Robert');
  await ada.names('Robert');
  await expect.poll(remarks, patience).toEqual(['']);
});

test('[E3] what others have selected is marked', async () => {
  const [ada, bob] = [await open('Ada', 'selected'), await open('Bob', 'selected')];
  await bob.write('one two three');
  await ada.reads('one two three');
  await bob.press('Control+Shift+ArrowLeft');
  const marked = () => ada.page.locator('.remote-selection').allTextContents();
  await expect.poll(marked, patience).toEqual(['three']);
  await bob.press('Home');
  await expect.poll(marked, patience).toEqual([]);
});

test('[B20] name and colour are those of the last visit', async () => {
  const ada = await open('Ada', 'kept');
  await ada.page.getByLabel('Your colour').fill('#aa3366');
  await ada.page.reload();
  await ada.saved();
  expect(await ada.page.getByLabel('Your name').inputValue()).toBe('Ada');
  expect(await ada.page.getByLabel('Your colour').inputValue()).toBe('#aa3366');
});
