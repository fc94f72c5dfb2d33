import type { Browser } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { startInstances } from '../helpers/instances.ts';
import { patience, startBrowser, visit } from '../helpers/pages.ts';

let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
}, 300_000);

test('[B29] pages at two instances are as at one: text, cursors, and what is written offline', async () => {
  const [one, two] = await startInstances(2);
  const ada = await visit(browser, one?.url ?? '', 'both', { person: 'Ada' });
  const bob = await visit(browser, two?.url ?? '', 'both', { person: 'Bob' });
  await ada.names('Bob');
  await bob.names('Ada');
  await Promise.all([ada.write('from ada '), bob.write('from bob ')]);
  await expect.poll(async () => (await ada.text()).length, patience).toBe(18);
  await bob.reads(await ada.text());
  await Promise.all([ada.saved(), bob.saved()]);
  await expect.poll(() => ada.cursors.allTextContents(), patience).toEqual(['Bob']);

  await ada.kept();
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.press('Control+Home');
  await ada.write('offline ');
  await bob.press('Control+End');
  await bob.write('online');
  await bob.saved();
  await ada.stored();
  await ada.page.reload();
  await ada.says('8 edits not saved yet');
  await ada.page.context().setOffline(false);
  await ada.saved();
  await expect.poll(async () => (await ada.text()).length, patience).toBe(32);
  await bob.reads(await ada.text());
  await bob.page.close();
  await ada.names();
});
