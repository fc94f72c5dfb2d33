import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { type Program, findProgram } from '../setup/debian.ts';

const CHROMIUM: Program = {
  names: ['chromium', 'chromium-browser', 'google-chrome', '/usr/bin/chromium'],
  package: 'chromium',
  help:
    'The browser tests need Chromium. Install it (Debian: apt-get install chromium; macOS: brew install --cask ' +
    'chromium), or point CHROMIUM_PATH at one.',
};
const args = [
  '--no-sandbox', // tests run as root in containers
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts a headless Chromium; on Debian as root it is installed if it is missing. The caller closes it. */
export async function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: await findChromium(), args });
}

/** One that keeps what it has in a directory, as the browser of a person does. The caller closes it. */
export async function openPersistentContext(directory: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(directory, { executablePath: await findChromium(), args });
}

async function findChromium(): Promise<string> {
  return given() ?? (await findProgram(CHROMIUM));
}

function given(): string | undefined {
  const { CHROMIUM_PATH } = process.env;
  if (CHROMIUM_PATH === undefined || existsSync(CHROMIUM_PATH)) return CHROMIUM_PATH;
  throw new Error(`CHROMIUM_PATH is ${CHROMIUM_PATH}, where there is nothing`);
}
