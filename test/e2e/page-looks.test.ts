import type { Locator } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { Visit, newContext, patience, servePages, visit } from '../helpers/pages.ts';

const pages = servePages();

const isFocused = (target: Locator) =>
  target.evaluate((element) => (element.getRootNode() as Document | ShadowRoot).activeElement === element);

test('[E1] the page is served with a Content-Security-Policy without inline code or styles', async () => {
  const { headers } = await fetch(pages.url);
  const policy = headers.get('content-security-policy');
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
});

test('[B34] everything can be done with a keyboard alone', async () => {
  const ada = new Visit(await (await newContext(pages.browser)).newPage());
  await ada.open(pages.url, 'keys');
  const { page } = ada;
  const { keyboard } = page;
  await keyboard.press('Tab');
  expect(await isFocused(page.getByRole('button', { name: 'Go to the text' }))).toBe(true);
  await keyboard.press('Enter');
  await keyboard.type('typed');
  await ada.reads('typed');
  // Tab leaves the text again, in both directions, and comes by everything.
  const passed: string[] = [];
  await keyboard.press('Shift+Tab');
  for (let presses = 0; presses < 12; presses += 1) {
    passed.push(await page.evaluate(() => document.activeElement?.id ?? ''));
    await keyboard.press('Shift+Tab');
  }
  const all = [
    'my-name',
    'my-colour',
    'open-share',
    'theme',
    'open-network',
    'redo',
    'undo',
    'open-documents',
  ];
  expect(passed.slice(0, all.length)).toEqual(all);

  await page.getByRole('button', { name: 'Documents' }).focus();
  await keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Documents' });
  await dialog.waitFor(patience);
  await keyboard.press('Escape');
  expect(await dialog.isVisible()).toBe(false);
  expect(await isFocused(page.getByRole('button', { name: 'Documents' }))).toBe(true);
});

test('[B34] a keyboard on "Try now" stays there while it is tried, and goes on in the text when the line is back', async () => {
  const ada = await visit(pages.browser, pages.url, 'trying');
  await ada.page.context().setOffline(true);
  await ada.says('Offline');
  const button = ada.page.locator('#retry');
  await button.focus();
  await ada.page.keyboard.press('Enter');
  await expect.poll(() => button.innerText(), patience).toBe('Try now');
  expect(await isFocused(button)).toBe(true);
  await ada.page.context().setOffline(false);
  await ada.saved();
  expect(await isFocused(ada.editor)).toBe(true);
});

test('[B35] everything that can be used has a name for screen readers, and they are told what lasts', async () => {
  const ada = new Visit(await (await newContext(pages.browser)).newPage());
  await ada.open(pages.url, 'named');
  const tree = await ada.page.locator('body').ariaSnapshot();
  expect(tree).toContain('textbox "Text of the document"');
  expect(tree).not.toMatch(/- (button|textbox|link|combobox)(?! ")/m);
  await ada.page.getByRole('status').filter({ hasText: 'All changes saved' }).waitFor(patience);
});

test.each([
  ['a desk', '#people', {}],
  ['a phone', '#bar', { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true }],
])(
  '[B51] on %s the cursor is not scrolled to behind what covers the window',
  async (place, last, options) => {
    const ada = await visit(pages.browser, pages.url, `long on ${place}`, options);
    await ada.paste(Array.from({ length: 100 }, (_, index) => `line ${index + 1}`).join('\n'));
    await ada.saved();
    await ada.page.context().setOffline(true);
    await ada.says('Offline');
    await ada.press('Control+End');
    await expect.poll(() => ada.page.getByText('line 100', { exact: true }).isVisible(), patience).toBe(true);
    for (let presses = 0; presses < 60; presses += 1) await ada.press('ArrowUp');
    const covering = await ada.page.locator(last).boundingBox();
    const line = await ada.page.getByText('line 40', { exact: true }).boundingBox();
    expect(line?.y).toBeGreaterThanOrEqual((covering?.y ?? 0) + (covering?.height ?? 0));
  },
);

async function isDark({ page }: Visit): Promise<boolean> {
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  return (background.match(/\d+/g) ?? []).every((value) => Number(value) < 100);
}

describe('colours', () => {
  test.each(['light', 'dark'] as const)('[B36] they are %s as the system is', async (colorScheme) => {
    const ada = await visit(pages.browser, pages.url, colorScheme, { person: 'Ada', colorScheme });
    const bob = await visit(pages.browser, pages.url, colorScheme, { person: 'Bob' });
    await bob.write('# Colours\n');
    await ada.reads('# Colours\n');
    expect(await isDark(ada)).toBe(colorScheme === 'dark');
    await ada.screenshot(colorScheme);
  });

  test('[B36] until somebody chooses others, which are kept', async () => {
    const ada = await visit(pages.browser, pages.url, 'chosen', { colorScheme: 'light' });
    await ada.page.getByRole('button', { name: 'Dark colours' }).click();
    expect(await isDark(ada)).toBe(true);
    await ada.page.reload();
    await ada.saved();
    expect(await isDark(ada)).toBe(true);
  });
});

test('[B37] on a phone nothing sticks out, and everything can be reached', async () => {
  const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true };
  const ada = await visit(pages.browser, pages.url, 'a/rather/long/name/of/a/document', {
    person: 'Ada',
    ...phone,
  });
  const bob = await visit(pages.browser, pages.url, 'a/rather/long/name/of/a/document', {
    person: 'Bartholomew',
  });
  await bob.write('# Groceries\nmilk, bread, and a rather long line that does not fit on a phone');
  await ada.names('Bartholomew');
  await expect.poll(() => ada.cursors.count(), patience).toBe(1);
  // The cursor is near the right edge.
  await bob.press('Control+Home');
  await bob.write(`${'m'.repeat(18)}\n`);
  await bob.press('ArrowLeft');
  const left = () =>
    ada.page.locator('.remote-caret').evaluate((caret) => caret.getBoundingClientRect().left);
  const right = () => ada.cursors.evaluate((name) => name.getBoundingClientRect().right);
  await expect.poll(left, patience).toBeGreaterThan(280);
  await expect.poll(right, patience).toBeLessThanOrEqual(360);
  const overflow = () =>
    ada.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(await overflow()).toBe(0);
  await ada.screenshot('phone');
  await ada.page.getByRole('button', { name: 'Network', exact: true }).tap();
  await ada.page.getByText('Edits received').waitFor(patience);
  expect(await overflow()).toBe(0);
  await ada.screenshot('phone-network');
  await ada.page.getByRole('button', { name: 'Close the network panel' }).tap();
  await ada.page.getByRole('button', { name: 'Share' }).tap();
  await ada.page.getByRole('dialog').getByRole('button', { name: 'Close' }).tap();
  await ada.editor.tap();
  await ada.page.keyboard.type('!');
  await ada.saved();
});
