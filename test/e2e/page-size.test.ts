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

function hasPause(tasks: number[]): boolean {
  return tasks.some((duration) => duration > LONGEST_TASK);
}

async function scrollThrough(page: Page): Promise<void> {
  const steps = 40;
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.mouse.move(500, 400);
  for (let step = 0; step < steps; step += 1) {
    await page.mouse.wheel(0, height / steps);
    // Two frames: the editor draws what has come into sight.
    await page.evaluate(
      () => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))),
    );
  }
  expect(await page.evaluate(() => window.scrollY)).toBeGreaterThan(height / 2);
}

test('[B38] a document with 260,000 edits behind it opens, scrolls and takes typing without a pause', async () => {
  const doc = new Y.Doc();
  const trace = readTrace('automerge-paper');
  const text = doc.getText('content');
  for (const transaction of trace.txns) typeTransaction(text, transaction);
  const author = connectYWebsocket(url, 'paper', { doc, acks: true });
  await author.saved(60_000);

  // Beside other tests a task may lose the processor: who is at fault is so each time.
  const passes: number[][] = [];
  while (passes.length < 3 && passes.every(hasPause)) {
    const ada = new Visit(await (await newContext(browser)).newPage());
    await ada.open(url, 'paper');
    const count = `${text.length.toLocaleString('en')} characters`;
    await ada.page.locator('#count', { hasText: count }).waitFor(patience);
    const longTasks = await watchTasks(ada.page);
    await scrollThrough(ada.page);
    await ada.screenshot('large');
    await ada.press('Control+Home');
    await ada.write('typed ');
    await ada.saved();
    passes.push(await longTasks());
    await author.sees(() => text.toJSON().startsWith('typed '.repeat(passes.length)));
  }
  expect(
    passes.at(-1)?.filter((duration) => duration > LONGEST_TASK),
    JSON.stringify(passes),
  ).toEqual([]);
}, 120_000);
