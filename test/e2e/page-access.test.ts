import type { Browser } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { Visit, countSockets, newContext, patience, startBrowser } from '../helpers/pages.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { SECRET, inSeconds, mint } from '../helpers/tokens.ts';

let browser: Browser;
let started: TestServer;

beforeAll(async () => {
  browser = await startBrowser();
  started = await startServer({ jwtSecret: SECRET, devTokens: true });
});

async function newVisit(allowed?: RegExp): Promise<Visit> {
  return new Visit(await (await newContext(browser, { ...(allowed && { allowed }) })).newPage());
}

/** Somebody who comes by a link with a token. */
async function come(name: string, token: string): Promise<Visit> {
  const someone = await newVisit();
  await someone.page.goto(`${started.url}/#/${name}?token=${token}`);
  return someone;
}

async function writer(name: string): Promise<Visit> {
  const someone = await come(name, await mint());
  await someone.saved();
  return someone;
}

test('[B30] a link for reading shows the text as it changes, and lets nobody edit', async () => {
  const ada = await writer('handbook');
  await ada.write('the rules');
  await ada.saved();
  const bob = await come('handbook', await mint({ sub: 'bob', access: { handbook: 'read' } }));
  await bob.says('Read-only');
  await bob.says('Up to date');
  await bob.reads('the rules');
  expect(await bob.notice.innerText()).toContain('This link is for reading');
  await bob.write('mine');
  await ada.write(', new');
  await bob.reads('the rules, new');
  await bob.page.reload();
  await bob.says('Up to date');
  await bob.write('mine');
  await ada.write('er');
  for (const person of [ada, bob]) await person.reads('the rules, newer');
  await bob.screenshot('read-only');
});

test('[B30] a reader of an empty document is not asked to write', async () => {
  const ada = await writer('blank');
  await ada.page.getByText('Write here.').waitFor(patience);
  const bob = await come('blank', await mint({ sub: 'bob', access: { blank: 'read' } }));
  await bob.says('Up to date');
  expect(await bob.page.getByText('Write here.').count()).toBe(0);
});

test('[B47] nobody can write as long as the server does not say whether they may', async () => {
  const ada = await newVisit(/api\/access/);
  let isSilent = true;
  await ada.page.context().route('**/api/access/**', async (route) => {
    await (isSilent ? route.fulfill({ status: 503 }) : route.continue());
  });
  await ada.page.goto(`${started.url}/#/unanswered?token=${await mint()}`);
  await ada.says('Asking whether you may write');
  await ada.write('lost');
  expect(await ada.text()).toBe('');
  isSilent = false;
  await ada.saved();
  await ada.write('taken');
  await ada.saved();
  await ada.reads('taken');
  isSilent = true;
  await ada.page.reload();
  await ada.saved();
  await ada.write('and ');
  await ada.reads('and taken');
});

test('[B47] without tokens a new document can be begun offline', async () => {
  const { url } = await startServer();
  const ada = await newVisit();
  await ada.open(url, 'known');
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  await ada.page.goto(`${url}/#/new`);
  await ada.page.getByRole('heading', { name: 'new' }).waitFor(patience);
  await ada.says('Offline');
  await ada.write('begun');
  await ada.says('5 edits not saved yet');
  await ada.page.context().setOffline(false);
  await ada.saved();
  const bob = await newVisit();
  await bob.open(url, 'new');
  expect(await bob.text()).toBe('begun');
});

test('[B31] a token that has expired is told, and ends the attempts', async () => {
  const bob = await newVisit();
  await bob.page.clock.install();
  await bob.page.goto(`${started.url}/#/expired?token=${await mint({ exp: inSeconds(-120) })}`);
  await bob.says('No access');
  expect(await bob.notice.innerText()).toContain('Your link has expired');
  expect(await bob.tryNow.isVisible()).toBe(false);
  const sockets = countSockets(bob);
  await bob.page.clock.fastForward('05:00');
  expect(sockets()).toBe(0);
});

test('[B31] so is one that ends while the document is open; nothing can be written then', async () => {
  // By the clock of the server it has ended a moment ago, and is taken for the rest of a minute.
  const ada = await come('ending', await mint({ exp: inSeconds(-38) }));
  await ada.says('All changes saved');
  await ada.write('in time');
  await ada.saved();
  const sockets = countSockets(ada);
  await ada.says('No access');
  expect(await ada.notice.innerText()).toContain('Your link has expired');
  await ada.write(', too late');
  await ada.press('Control+z');
  await ada.reads('in time');
  await ada.screenshot('expired');
  expect(sockets()).toBe(0);
});

test('[B32] access that is taken back is told with its reason', async () => {
  const ada = await come('secret', await mint({ sub: 'eve' }));
  await ada.saved();
  await started.server.revoke({ user: 'eve' });
  await ada.says('No access');
  expect(await ada.notice.innerText()).toContain('Your access was taken back');
});

test('[B33] the share dialog gives a link for editing and one for reading', async () => {
  const ada = await writer('shared/plan');
  await ada.write('plan');
  await ada.page.getByRole('button', { name: 'Share' }).click();
  const dialog = ada.page.getByRole('dialog', { name: 'Share this document' });
  const link = async (name: string) => {
    await dialog.getByLabel(name, { exact: true }).waitFor(patience);
    return dialog.getByLabel(name, { exact: true }).inputValue();
  };
  const [writing, reading] = [await link('Link for editing'), await link('Link for reading')];
  await ada.screenshot('share');
  await ada.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await dialog.getByRole('button', { name: 'Copy' }).first().click();
  await dialog.getByRole('button', { name: 'Copied' }).waitFor(patience);
  expect(await ada.page.evaluate(() => navigator.clipboard.readText())).toBe(writing);

  const bob = await newVisit();
  await bob.page.goto(writing);
  await bob.saved();
  await bob.press('Control+End');
  await bob.write('s');
  await bob.saved();
  const carol = await newVisit();
  await carol.page.goto(reading);
  await carol.says('Read-only');
  await carol.reads('plans');
});

test('[B33] who may only read gives links for reading only', async () => {
  const ada = await writer('minutes');
  await ada.write('minutes');
  await ada.saved();
  const bob = await come('minutes', await mint({ sub: 'bob', access: { minutes: 'read' } }));
  await bob.reads('minutes');
  await bob.says('Read-only');
  await bob.page.getByRole('button', { name: 'Share' }).click();
  const dialog = bob.page.getByRole('dialog', { name: 'Share this document' });
  await dialog.getByLabel('Link for reading', { exact: true }).waitFor(patience);
  expect(await dialog.getByLabel('Link for editing', { exact: true }).isVisible()).toBe(false);
  const carol = await newVisit();
  await carol.page.goto(await dialog.getByLabel('Link for reading', { exact: true }).inputValue());
  await carol.says('Read-only');
  await carol.reads('minutes');
});

test('[B24] the documents of this browser are opened with the tokens that they were opened with', async () => {
  const [alpha, beta] = [
    await mint({ access: { alpha: 'write' } }),
    await mint({ access: { beta: 'read' } }),
  ];
  const ada = await newVisit();
  await ada.page.goto(`${started.url}/#/beta?token=${beta}`);
  await ada.says('Read-only');
  await ada.page.goto(`${started.url}/#/alpha?token=${alpha}`);
  await ada.page.getByRole('heading', { name: 'alpha' }).waitFor(patience);
  await ada.saved();
  await ada.page.getByRole('button', { name: 'Documents' }).click();
  const recent = ada.page.getByRole('list', { name: 'Opened in this browser' });
  await recent.getByRole('link', { name: 'beta' }).click();
  await ada.page.getByRole('heading', { name: 'beta' }).waitFor(patience);
  await ada.says('Read-only');
  await ada.says('Up to date');
  expect(new URL(ada.page.url()).hash).toBe(`#/beta?token=${beta}`);
});

test('[B33] on a server without a key it gives the address, which lets everybody edit', async () => {
  const { url } = await startServer();
  const ada = await newVisit();
  await ada.open(url, 'open');
  await ada.page.getByRole('button', { name: 'Share' }).click();
  const dialog = ada.page.getByRole('dialog', { name: 'Share this document' });
  await dialog.getByLabel('Link for editing', { exact: true }).waitFor(patience);
  expect(await dialog.getByLabel('Link for editing', { exact: true }).inputValue()).toBe(`${url}/#/open`);
  expect(await dialog.getByLabel('Link for reading', { exact: true }).isVisible()).toBe(false);
});

test('[B33] on a server that gives none away it says so', async () => {
  const { url } = await startServer({ jwtSecret: SECRET });
  const ada = await newVisit(/api\/dev\/tokens/);
  const token = await mint();
  await ada.page.goto(`${url}/#/mine?token=${token}`);
  await ada.saved();
  await ada.page.getByRole('button', { name: 'Share' }).click();
  await ada.page.getByText('This server gives no links away').waitFor(patience);
  expect(await ada.page.getByLabel('Your own link').inputValue()).toBe(`${url}/#/mine?token=${token}`);
});
