import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { connectYWebsocket } from '../helpers/clients.ts';
import { Visit, newContext, patience, servePages } from '../helpers/pages.ts';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

/** Above it a person notices, in ms. */
const LONGEST_TASK = 200;

const pages = servePages();

/**
 * Collects the tasks from now on that keep the page from answering. Each by the time that it has the processor: beside other
 * tests it may lose it.
 */
async function watchTasks(page: Page): Promise<() => Promise<number[]>> {
  const categories = ['disabled-by-default-devtools.timeline'];
  await pages.browser.startTracing(page, { categories });
  return async () => {
    const trace = JSON.parse((await pages.browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
    const events = Map.groupBy(trace.traceEvents, ({ pid, tid }) => `${pid} ${tid}`);
    return [...events.values()]
      .filter((thread) => thread.some(({ args }) => args?.name === 'CrRendererMain'))
      .flatMap((thread) => thread.filter(({ name }) => name === 'RunTask'))
      .map(({ tdur = 0 }) => tdur / 1000);
  };
}

/** Of Chromium's traces, what is used here. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Time on the processor, in µs. */
  tdur?: number;
  args?: { name?: string };
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
  const author = connectYWebsocket(pages.url, 'paper', { doc, acks: true });
  await author.saved(60_000);

  const ada = new Visit(await (await newContext(pages.browser)).newPage());
  await ada.open(pages.url, 'paper');
  const count = `${text.length.toLocaleString('en')} characters`;
  await ada.page.locator('#count', { hasText: count }).waitFor(patience);
  const watched = await watchTasks(ada.page);
  await scrollThrough(ada.page);
  await ada.screenshot('large');
  await ada.press('Control+Home');
  await ada.write('typed ');
  await ada.saved();
  await author.sees(() => text.toJSON().startsWith('typed '));
  const tasks = await watched();
  expect(tasks.length).toBeGreaterThan(100);
  expect(tasks.filter((duration) => duration > LONGEST_TASK)).toEqual([]);
}, 120_000);
