import type { Browser } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { atTestEnd } from '../helpers/cleanup.ts';
import { newTab, patience, startBrowser, visit } from '../helpers/pages.ts';
import { startServer } from '../helpers/server.ts';

let browser: Browser;
let url: string;

beforeAll(async () => {
  browser = await startBrowser();
  ({ url } = await startServer());
}, 300_000);

const open = (person: string, name: string) => visit(browser, url, name, { person });

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

test('[E4] two tabs of one browser share the text, and are one person: the one in the tab used last', async () => {
  const carol = await open('Carol', 'tabs');
  const one = await open('Ada', 'tabs');
  const two = await newTab(one, url, 'tabs');
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
  const provider = new WebsocketProvider(url.replace('http', 'ws'), 'hostile', new Y.Doc());
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
    awareness.setLocalState(state);
    await ada.names('Anonymous');
    expect(await ada.cursors.count()).toBe(0);
  }
  awareness.setLocalState({ user: { name: 'Eve', color: 'red' }, cursor: { anchor: end, head: end } });
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Eve']);
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

test('[B20] name and colour are those of the last visit', async () => {
  const ada = await open('Ada', 'kept');
  await ada.page.getByLabel('Your colour').fill('#aa3366');
  await ada.page.reload();
  await ada.saved();
  expect(await ada.page.getByLabel('Your name').inputValue()).toBe('Ada');
  expect(await ada.page.getByLabel('Your colour').inputValue()).toBe('#aa3366');
});
