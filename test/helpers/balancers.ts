import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { type Program, findProgram } from '../setup/debian.ts';
import { atTestEnd } from './cleanup.ts';
import { freePort } from './ports.ts';
import { startProgram } from './processes.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');
const START_MS = 10_000;

export const BALANCERS = ['nginx', 'haproxy'] as const;
export type Balancer = (typeof BALANCERS)[number];

interface Recipe extends Program {
  /** Its configuration in deploy/. */
  file: string;
  args: (file: string) => string[];
  /** What of its configuration is another in a test, beside the addresses of the instances. */
  others: (directory: string, port: number) => Record<string, string>;
}

const RECIPES: Record<Balancer, Recipe> = {
  nginx: {
    names: ['nginx', '/usr/sbin/nginx'],
    package: 'nginx',
    isService: true,
    help: 'The tests of deploy/ need nginx (Debian, Ubuntu: apt-get install nginx; macOS: brew install nginx).',
    file: 'nginx.conf',
    args: (file) => ['-c', file, '-e', 'stderr', '-g', 'daemon off;'],
    others: (directory, port) => ({
      'listen 8080': `listen 127.0.0.1:${port}`,
      '/tmp/': `${directory}/`,
      // Here it is a socket, which cannot be opened by name.
      '/dev/stdout': `${directory}/access.log`,
    }),
  },
  haproxy: {
    names: ['haproxy', '/usr/sbin/haproxy'],
    package: 'haproxy',
    isService: true,
    help: 'The tests of deploy/ need HAProxy (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy).',
    file: 'haproxy.cfg',
    args: (file) => ['-f', file],
    others: (_directory, port) => ({ 'bind :8080': `bind 127.0.0.1:${port}` }),
  },
};

export interface RunningBalancer {
  url: string;
  /** Everything that it has logged, of requests and of errors. */
  log: () => Promise<string>;
}

/** Where the program is; as root on Debian it is installed if it is missing. */
export function findBalancer(kind: Balancer): Promise<string> {
  return findProgram(RECIPES[kind]);
}

/**
 * Starts nginx or HAProxy as deploy/ has it, with other addresses, ports and paths and nothing else; ended at the end of
 * the test.
 * @param instances - URLs of the two that it is in front of
 */
export async function startBalancer(
  kind: Balancer,
  instances: readonly [string, string],
): Promise<RunningBalancer> {
  const { file, args, others } = RECIPES[kind];
  const directory = await mkdtemp(join(tmpdir(), 'indelible-test-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  // The workers of nginx are another user when we are root.
  await chmod(directory, 0o711);
  const port = await freePort();
  const [one, two] = instances.map((url) => new URL(url).host);
  const addresses = { 'indelible-1:1234': `${one}`, 'indelible-2:1234': `${two}` };
  const path = join(directory, file);
  await writeFile(path, await shipped(file, { ...others(directory, port), ...addresses }));

  const running = await startProgram(await findBalancer(kind), args(path), { endWith: 'SIGTERM' });
  const printed = () => [...running.stdout, ...running.stderr].join('\n');
  const ended = running.exited.then(() => {
    throw new Error(`${kind} has ended:\n${printed()}`);
  });
  const url = `http://127.0.0.1:${port}`;
  await Promise.race([vi.waitFor(() => fetch(url), START_MS), ended]);
  const accessLog = () => readFile(join(directory, 'access.log'), 'utf8').catch(() => '');
  return { url, log: async () => `${await accessLog()}\n${printed()}` };
}

/**
 * A file of deploy/ with other words in the place of some.
 * @throws when one of these is not in it
 */
export async function shipped(file: string, others: Record<string, string>): Promise<string> {
  let text = await readFile(join(DEPLOY, file), 'utf8');
  for (const [word, other] of Object.entries(others)) {
    if (!text.includes(word)) throw new Error(`deploy/${file} does not say '${word}'`);
    text = text.replaceAll(word, other);
  }
  return text;
}
