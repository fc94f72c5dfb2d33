import { deepStrictEqual } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { beforeAll, vi } from 'vitest';
import { launchChromium } from './chromium.ts';
import { atTestEnd } from './cleanup.ts';
import { startServer } from './server.ts';

const built = fileURLToPath(new URL('../../client-demo/dist/index.html', import.meta.url));
const artefacts = fileURLToPath(new URL('../artefacts/', import.meta.url));

/** For what takes a commit, or some attempts to reconnect, in ms. */
export const patience = { timeout: 25_000 };

// More than one thing may take so long.
vi.setConfig({ testTimeout: 90_000 });

/** A browser reports every attempt to reach a server that is out of reach. */
const OUT_OF_REACH = /ERR_(CONNECTION_\w+|INTERNET_DISCONNECTED|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)/;

/** Starts Chromium for a test file; it is closed at its end. To be called in a `beforeAll`. */
export async function startBrowser(): Promise<Browser> {
  if (!existsSync(built)) throw new Error('The page is not built: npm run build:page');
  const browser = await launchChromium();
  atTestEnd(() => browser.close());
  return browser;
}

/** A browser, and the server whose page it opens. */
interface Pages {
  browser: Browser;
  url: string;
}

/** Starts both for all tests of a file. To be called at its top; they are there when its tests run. */
export function servePages(): Pages {
  const pages = {} as Pages;
  beforeAll(async () => {
    pages.browser = await startBrowser();
    pages.url = (await startServer()).url;
  });
  return pages;
}

/**
 * A browser of its own: nothing is shared with others. What its console reports fails the test, violations of the
 * Content-Security-Policy among it.
 * @param allowed - what it may report besides
 */
export async function newContext(
  browser: Browser,
  options: BrowserContextOptions & { allowed?: RegExp } = {},
): Promise<BrowserContext> {
  const { allowed, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1100, height: 680 }, ...rest });
  watchConsole(context, allowed);
  return context;
}

/** Closes the context at the end of the test, and fails it for what a console has reported. */
export function watchConsole(context: BrowserContext, allowed = /^\b$/): void {
  const problems: string[] = [];
  context.on('console', (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (message.type() === 'error' && !OUT_OF_REACH.test(text) && !allowed.test(text)) problems.push(text);
  });
  context.on('weberror', (event) => problems.push(event.error().stack ?? event.error().message));
  atTestEnd(async () => {
    await context.close();
    deepStrictEqual(problems, [], `the console of the browser reports:\n${problems.join('\n')}`);
  });
}

/** The page of one document, as somebody sees and uses it. */
export class Visit {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  get editor(): Locator {
    return this.page.getByRole('textbox', { name: 'Text of the document' });
  }

  /** The others in the list. */
  get others(): Locator {
    return this.page.getByRole('list', { name: 'Others here' }).getByRole('listitem');
  }

  /** Names at the cursors of others. */
  get cursors(): Locator {
    return this.page.locator('.remote-name');
  }

  get notice(): Locator {
    return this.page.locator('#notice-text');
  }

  /** Of a page that has no connection, or was refused. */
  get tryNow(): Locator {
    return this.page.getByRole('button', { name: 'Try now' });
  }

  /** Gives up the copy of this browser, and says so when asked again. */
  async discard(): Promise<void> {
    this.page.once('dialog', (dialog) => void dialog.accept());
    await this.page.getByRole('button', { name: 'Discard' }).click();
  }

  /** Goes to a document, and waits until all of it is there and saved. */
  async open(url: string, name: string): Promise<void> {
    await this.page.goto(`${url}/#/${name}`);
    await this.saved();
  }

  async call(name: string): Promise<void> {
    await this.page.getByLabel('Your name').fill(name);
  }

  /** Types where the cursor is. */
  async write(text: string, { delay = 0 } = {}): Promise<void> {
    await this.editor.focus();
    await this.page.keyboard.type(text, { delay });
  }

  /** Pastes where the cursor is. */
  async paste(text: string): Promise<void> {
    await this.editor.focus();
    await this.editor.evaluate((target, pasted) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData('text/plain', pasted);
      target.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }, text);
  }

  /** Presses a key in the text. */
  async press(key: string): Promise<void> {
    await this.editor.focus();
    await this.page.keyboard.press(key);
  }

  /** Holds when this browser has stored what was written so far: what reads waits for what was written before. */
  async stored(): Promise<void> {
    await this.page.evaluate(async () => {
      const databases = await indexedDB.databases();
      const name = databases.find((database) => database.name?.startsWith('indelible:ws'))?.name;
      if (name === undefined) throw new Error('nothing is stored');
      const { promise, resolve } = Promise.withResolvers<void>();
      const opening = indexedDB.open(name);
      opening.addEventListener('success', () => {
        const reading = opening.result.transaction('updates').objectStore('updates').count();
        reading.addEventListener('success', () => resolve());
      });
      await promise;
      opening.result.close();
    });
  }

  /** Holds when the page would open without the network. */
  async kept(): Promise<void> {
    await this.page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  }

  /** The text, without the names at the cursors; of a long one the part that is on the screen. */
  text(): Promise<string> {
    return this.editor.evaluate((content) => {
      const copy = document.createElement('div');
      copy.append(content.cloneNode(true));
      for (const extra of copy.querySelectorAll('.remote-caret, .cm-placeholder')) extra.remove();
      return [...copy.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n');
    });
  }

  async reads(text: string): Promise<void> {
    await vi.waitFor(async () => deepStrictEqual(await this.text(), text), patience);
  }

  async saved(): Promise<void> {
    await this.says('All changes saved');
  }

  /** Waits for words about the line or the edits. */
  async says(words: string): Promise<void> {
    // Not by text alone: what screen readers are told stands in the page as well.
    const status = this.page.locator('#status');
    try {
      await status.filter({ hasText: words }).waitFor(patience);
    } catch (cause) {
      throw new Error(`The page does not say "${words}" but "${await status.innerText()}"`, { cause });
    }
  }

  /** Waits until these, and nobody else, are there besides. */
  async names(...names: string[]): Promise<void> {
    const shown = () => this.others.locator('bdi').allInnerTexts();
    await vi.waitFor(async () => deepStrictEqual((await shown()).toSorted(), names.toSorted()), patience);
  }

  async screenshot(name: string): Promise<void> {
    await this.page.screenshot({ path: `${artefacts}page-${name}.png` });
  }
}

/** Somebody with a browser of their own in a document. */
export async function visit(
  browser: Browser,
  url: string,
  name: string,
  options: BrowserContextOptions & { person?: string; allowed?: RegExp } = {},
): Promise<Visit> {
  const { person, ...rest } = options;
  const someone = new Visit(await (await newContext(browser, rest)).newPage());
  await someone.open(url, name);
  if (person !== undefined) await someone.call(person);
  return someone;
}

/**
 * Somebody for whom time passes when they are told to.
 * @param script - done by the page before anything else
 */
export async function visitByClock(
  browser: Browser,
  url: string,
  name: string,
  { person, script }: { person?: string; script?: () => void } = {},
): Promise<Visit> {
  const someone = new Visit(await (await newContext(browser)).newPage());
  if (script !== undefined) await someone.page.addInitScript(script);
  await someone.page.clock.install();
  await someone.open(url, name);
  if (person !== undefined) await someone.call(person);
  await someone.page.clock.pauseAt(Date.now() + 1000);
  return someone;
}

/** Another tab of the same browser. */
export async function newTab({ page }: Visit, url: string, name: string): Promise<Visit> {
  const tab = new Visit(await page.context().newPage());
  await tab.open(url, name);
  return tab;
}

/** Counts the sockets that a page opens from now on. */
export function countSockets({ page }: Visit): () => number {
  let count = 0;
  page.on('websocket', () => (count += 1));
  return () => count;
}

/** Lets time pass for a page with a clock of its own until something holds. @returns how much of it, in ms */
export async function passUntil({ page }: Visit, holds: () => boolean | Promise<boolean>): Promise<number> {
  const step = 250;
  for (let passed = 0; passed < 60_000; passed += step) {
    if (await holds()) return passed;
    await page.clock.runFor(step);
  }
  throw new Error('A minute has passed for the page, in vain');
}
