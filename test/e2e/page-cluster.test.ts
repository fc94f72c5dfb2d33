import type { Browser } from 'playwright-core';
import { beforeAll, expect, inject, test } from 'vitest';
import { ownPrefix, startInstances } from '../helpers/instances.ts';
import { patience, startBrowser, visit } from '../helpers/pages.ts';
import { startProxy } from '../helpers/proxy.ts';
import { spawnServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';

let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
});

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

test('[B29] when an instance is killed its pages go on at another one, and nothing is lost', async () => {
  const storage = await createStorage('postgres');
  const common = { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: ownPrefix() };
  const [one, two] = await Promise.all([spawnServer(storage, common), spawnServer(storage, common)]);
  const balancer = await startProxy(one.url);
  const ada = await visit(browser, balancer.url, 'survivors', { person: 'Ada' });
  const bob = await visit(browser, two.url, 'survivors', { person: 'Bob' });
  await ada.names('Bob');
  const [letters, digits] = ['abcdefghijklmnopqrstuvwxyz'.repeat(2), '0123456789'.repeat(5)];
  const typing = Promise.all([ada.write(letters, { delay: 20 }), bob.write(digits, { delay: 20 })]);
  await expect.poll(() => ada.text(), patience).toMatch(/f.*\d|\d.*f/);
  balancer.retarget(two.url);
  await one.kill('SIGKILL');
  await ada.says('not saved yet');
  await typing;
  await Promise.all([ada.saved(), bob.saved()]);
  await expect.poll(async () => (await bob.text()).length, patience).toBe(letters.length + digits.length);
  const text = await bob.text();
  expect([text.replaceAll(/\d/g, ''), text.replaceAll(/\D/g, '')]).toEqual([letters, digits]);
  await ada.reads(text);
  await ada.names('Bob');
  await bob.names('Ada');
});
