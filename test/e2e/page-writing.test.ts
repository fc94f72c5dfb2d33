import { expect, test } from 'vitest';
import { IndelibleClient } from '../../server/client.ts';
import { patience, servePages, visit } from '../helpers/pages.ts';

const pages = servePages();

const open = (person: string, name: string) => visit(pages.browser, pages.url, name, { person });

test('[E2] two browsers that write at the same time end with the same text, saved', async () => {
  const [ada, bob] = [await open('Ada', 'notes/both'), await open('Bob', 'notes/both')];
  await expect.poll(() => ada.editor.textContent()).toContain('Open this page in another browser');
  await Promise.all([ada.write('from ada '), bob.write('from bob ')]);
  await expect.poll(async () => (await ada.text()).length, patience).toBe(18);
  await bob.reads(await ada.text());
  await Promise.all([ada.saved(), bob.saved()]);
  const carol = await open('Carol', 'notes/both');
  await carol.reads(await ada.text());
});

test('[E7] another address in the same tab is another document', async () => {
  const ada = await open('Ada', 'one');
  await ada.write('the first');
  await ada.saved();
  await ada.page.goto(`${pages.url}/#/two/with space`);
  await ada.page.getByRole('heading', { name: 'two/with space' }).waitFor(patience);
  await ada.saved();
  expect(await ada.text()).toBe('');
  await ada.page.goBack();
  await ada.reads('the first');
});

test('[B21] undo takes back what was written here, and not what others wrote', async () => {
  const [ada, bob] = [await open('Ada', 'undo'), await open('Bob', 'undo')];
  await ada.write('mine');
  await bob.reads('mine');
  await bob.press('Control+End');
  await bob.write(' theirs');
  await ada.reads('mine theirs');
  await ada.press('Control+z');
  await bob.reads(' theirs');
  await ada.press('Control+Shift+Z');
  await bob.reads('mine theirs');
  await ada.page.getByRole('button', { name: 'Undo' }).click();
  await bob.reads(' theirs');
  await ada.page.getByRole('button', { name: 'Redo' }).click();
  await bob.reads('mine theirs');
  expect(await ada.text()).toBe('mine theirs');
});

test('[B21] undo takes back what was pasted, and not what was typed a moment before', async () => {
  const ada = await open('Ada', 'undo a paste');
  await ada.write('typed');
  await ada.paste(' and pasted');
  await ada.reads('typed and pasted');
  await ada.press('Control+z');
  await expect.poll(() => ada.text(), patience).toBe('typed');
});

test('[B22] a paste of 100 KB arrives whole, and is saved', async () => {
  const [ada, bob] = [await open('Ada', 'paste'), await open('Bob', 'paste')];
  const line = `${'ten words and a number to make one long line of it, '.repeat(2)}\n`;
  const text = line.repeat(Math.ceil(100_000 / line.length));
  await ada.paste(text);
  await ada.saved();
  const characters = `${text.length.toLocaleString('en')} characters`;
  for (const { page } of [ada, bob]) {
    await expect.poll(() => page.locator('#count').innerText(), patience).toContain(characters);
  }
  await bob.saved();
});

test('[B23] Markdown is highlighted, and words are counted', async () => {
  const ada = await open('Ada', 'markdown');
  await ada.write('# A title\nIt’s **bold** – 3 well-chosen words');
  await ada.page.getByText('7 words, 45 characters').waitFor(patience);
  const weight = (text: string) =>
    ada.page.getByText(text, { exact: true }).evaluate((span) => getComputedStyle(span).fontWeight);
  expect(Number(await weight('bold'))).toBeGreaterThan(600);
  await ada.screenshot('markdown');
});

test('[B24] documents are chosen from a list, and new ones named there', async () => {
  // By somebody else, so that only the server knows of it.
  await new IndelibleClient({ url: pages.url }).create('lists/theirs', { content: 'By a program' });
  const ada = await visit(pages.browser, pages.url, 'lists/first');
  const { page } = ada;
  await page.getByRole('button', { name: 'Documents' }).click();
  const dialog = page.getByRole('dialog', { name: 'Documents' });
  await dialog.getByRole('link', { name: 'lists/first' }).first().waitFor(patience);
  await dialog.getByLabel('Find one, or name a new one').fill('lists/second');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'lists/second' }).waitFor(patience);
  await ada.saved();
  await page.getByRole('button', { name: 'Documents' }).click();
  await ada.screenshot('documents');
  await dialog.getByRole('link', { name: 'lists/first' }).first().click();
  await page.getByRole('heading', { name: 'lists/first' }).waitFor(patience);
  expect(await dialog.isVisible()).toBe(false);
  await page.getByRole('button', { name: 'Documents' }).click();
  await dialog.getByRole('link', { name: 'lists/theirs' }).click();
  await page.getByText('By a program').waitFor(patience);
});

test('[B40] what others wrote with other ends of lines stays where it is', async () => {
  const client = new IndelibleClient({ url: pages.url });
  await client.create('ends', { content: 'one\r\ntwo\r\nthree' });
  const ada = await open('Ada', 'ends');
  await ada.press('Control+End');
  await ada.write('!');
  await ada.saved();
  expect((await client.text('ends')).content).toBe('one\r\ntwo\r\nthree!');
});

test('[B41] a browser asks for the page each time, and keeps its parts, which have other names when they change', async () => {
  const page = await fetch(`${pages.url}/`);
  expect(page.headers.get('cache-control')).toBe('no-cache');
  const [, part = ''] = /src="\.(\/assets\/[^"]+)"/.exec(await page.text()) ?? [];
  expect((await fetch(pages.url + part)).headers.get('cache-control')).toContain('immutable');
});
