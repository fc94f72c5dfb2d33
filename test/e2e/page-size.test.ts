import type { Browser, Page } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import * as Y from 'yjs';
import { connectYWebsocket } from '../helpers/clients.ts';
import { Visit, newContext, patience, startBrowser } from '../helpers/pages.ts';
import { startServer } from '../helpers/server.ts';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

/** Above it a person notices, in ms. */
const LONGEST_TASK = 200;

let browser: Browser;
let url: string;

beforeAll(async () => {
  browser = await startBrowser();
  ({ url } = await startServer());
}, 300_000);

/** Collects the tasks from now on that keep the page from answering. */
async function watchTasks(page: Page): Promise<() => Promise<number[]>> {
  const tasks = await page.evaluateHandle(() => {
    const found: number[] = [];
    const add = (list: PerformanceObserverEntryList) =>
      found.push(...list.getEntries().map((task) => task.duration));
    const observer = new PerformanceObserver(add);
    observer.observe({ type: 'longtask' });
    return { found, observer };
  });
  return () =>
    tasks.evaluate(({ found, observer }) => [
      ...found,
      ...observer.takeRecords().map((task) => task.duration),
    ]);
}

test('[B38] a document with 260,000 edits behind it opens, scrolls and takes typing without a pause', async () => {
  const doc = new Y.Doc();
  const trace = readTrace('automerge-paper');
  const text = doc.getText('content');
  for (const transaction of trace.txns) typeTransaction(text, transaction);
  const author = connectYWebsocket(url, 'paper', { doc, acks: true });
  await author.saved(60_000);

  const ada = new Visit(await (await newContext(browser)).newPage());
  const { page } = ada;
  await ada.open(url, 'paper');
  const count = `${trace.endContent.length.toLocaleString('en')} characters`;
  await page.locator('#count', { hasText: count }).waitFor(patience);
  const longTasks = await watchTasks(page);
  await page.mouse.move(500, 400);
  const height = () => page.evaluate(() => document.documentElement.scrollHeight);
  const top = () => page.evaluate(() => window.scrollY);
  for (let step = 0; step < 40; step += 1) {
    await page.mouse.wheel(0, (await height()) / 40);
    // Two frames: the editor draws what has come into sight.
    await page.evaluate(
      () => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))),
    );
  }
  expect(await top()).toBeGreaterThan((await height()) / 2);
  await ada.press('Control+Home');
  await ada.write('typed into it ');
  await ada.saved();
  expect((await longTasks()).filter((duration) => duration > LONGEST_TASK)).toEqual([]);
  await author.sees((copy) => copy.getText('content').toJSON() === `typed into it ${trace.endContent}`);
  await ada.screenshot('large');
}, 120_000);
