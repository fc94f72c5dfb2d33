import { expect, inject, test, vi } from 'vitest';
import { type Client, connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { textOf } from '../helpers/editor.ts';
import { ownPrefix } from '../helpers/instances.ts';
import { readMetrics, valueOf } from '../helpers/metrics.ts';
import { freePort } from '../helpers/ports.ts';
import { family, signal } from '../helpers/process-table.ts';
import { startNode } from '../helpers/processes.ts';
import { startProxy } from '../helpers/proxy.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { type Storage, createStorage, environmentOf, openStorage, rebuild } from '../helpers/storage.ts';

const WORKERS = 2;
const PEOPLE = 8;
const DOCUMENT = 'notes';

function redis(): Record<string, string> {
  return { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: ownPrefix() };
}

/** Several people in one document; round robin puts them on all workers. */
async function gather({ url }: ServerProcess): Promise<Client<unknown>[]> {
  const people: Client<unknown>[] = [];
  for (let index = 0; index < PEOPLE; index += 1) {
    const isEven = index % 2 === 0;
    const person = isEven
      ? connectYWebsocket(url, DOCUMENT, { acks: true })
      : connectHocuspocus(url, DOCUMENT);
    people.push(person);
    await person.synced();
  }
  return people;
}

/** Everybody types a word, which all see, and which is acknowledged. */
async function typeAll(people: Client<unknown>[], word: string): Promise<void> {
  const words = people.map((_, index) => `${word}${index} `);
  people.forEach(({ doc }, index) => doc.getText('content').insert(0, words[index] as string));
  for (const person of people) {
    await person.sees((doc) => words.every((typed) => textOf(doc).includes(typed)), 20_000);
    await person.saved(20_000);
  }
}

async function storedText(storage: Storage): Promise<string> {
  const database = await openStorage(storage);
  const stored = await rebuild(database, DOCUMENT);
  await database.close();
  return stored === null ? '' : textOf(stored);
}

const workersOf = ({ pid }: ServerProcess) => family(pid).filter((process) => process !== pid);

test('[N14] workers serve one port as one server, with one metrics endpoint, and all stop at SIGTERM', async () => {
  const storage = await createStorage('postgres');
  const server = await spawnServer(storage, { ...redis(), WORKERS: `${WORKERS}` });
  expect(workersOf(server)).toHaveLength(WORKERS);
  const people = await gather(server);
  await typeAll(people, 'one');
  // Whichever answers, it speaks for all.
  for (let time = 0; time < 2 * WORKERS; time += 1) {
    const metrics = await readMetrics(server.url);
    const of = (protocol: string) => metrics.value('indelible_connections', { protocol });
    expect(of('y-websocket') + of('hocuspocus')).toBe(PEOPLE);
    expect(metrics.value('indelible_documents')).toBe(WORKERS);
    expect(metrics.value('process_resident_memory_bytes')).toBeGreaterThan(0);
  }
  for (const person of people) person.destroy();
  // As some supervisors do.
  for (const pid of workersOf(server)) signal(pid, 'SIGTERM');
  expect(await server.kill('SIGTERM', 30_000)).toEqual({ code: 0, signal: null });
  expect(await storedText(storage)).toContain('one0');
});

test('[N14] a worker that is killed is started again, its people go on elsewhere, and nothing is lost', async () => {
  const storage = await createStorage('postgres');
  const server = await spawnServer(storage, { ...redis(), WORKERS: `${WORKERS}` });
  const people = await gather(server);
  await typeAll(people, 'before');
  const [doomed] = workersOf(server) as [number];
  const killed = people.map((person) => person.closes.length);
  signal(doomed, 'SIGKILL');
  await typeAll(people, 'after');
  expect(people.some((person, index) => person.closes.length > (killed[index] ?? 0))).toBe(true);
  await vi.waitFor(() => expect(workersOf(server)).toHaveLength(WORKERS), 10_000);
  expect(workersOf(server)).not.toContain(doomed);
  const text = textOf((people[0] as Client<unknown>).doc);
  expect(await storedText(storage)).toBe(text);
  for (const person of people) person.destroy();
  await vi.waitFor(async () => expect(await valueOf(server.url, 'indelible_documents')).toBe(0), 20_000);
  expect(await server.kill('SIGTERM', 30_000)).toEqual({ code: 0, signal: null });
});

test.each([
  ['Postgres', { ...redisAnywhere(), WORKERS: '2' }],
  ['Redis', { DATABASE_URL: 'postgres://127.0.0.1:9/none', WORKERS: 'auto' }],
])('[N14] several processes without %s are refused', async (_what, env) => {
  const child = await startNode(['server/main.ts', 'serve'], { env });
  expect(await child.exited).toEqual({ code: 2, signal: null });
  expect(child.stderr.join('\n')).toMatch(/WORKERS .* need DATABASE_URL .* and REDIS_URL/);
});

function redisAnywhere(): Record<string, string> {
  return { REDIS_URL: 'redis://127.0.0.1:9' };
}

test('[N14] they stop with 0 when they are told to before they serve', async () => {
  const storage = await createStorage('postgres');
  const line = await startProxy('databaseUrl' in storage ? storage.databaseUrl : '');
  // Nobody answers, and they wait.
  line.blackHole();
  const port = `${await freePort()}`;
  const settings = {
    ...environmentOf({ databaseUrl: line.url }),
    ...redis(),
    PORT: port,
    WORKERS: `${WORKERS}`,
  };
  const server = await startNode(['server/main.ts', 'serve'], { env: settings });
  await vi.waitFor(() => expect(family(server.pid)).toHaveLength(WORKERS + 1), 10_000);
  // When they have what tells them to stop.
  await vi.waitUntil(() => line.count >= WORKERS, 20_000);
  expect(await server.kill('SIGTERM', 20_000)).toEqual({ code: 0, signal: null });
  expect(server.stderr).toEqual([]);
});

test('[N14] when the port is taken all end, with 1 and the reason', async () => {
  const storage = await createStorage('postgres');
  const PORT = `${await freePort()}`;
  await spawnServer(storage, { PORT });
  const env = { ...environmentOf(storage), ...redis(), PORT, WORKERS: '2', LOG_LEVEL: 'silent' };
  const child = await startNode(['server/main.ts', 'serve'], { env });
  expect(await child.exited).toEqual({ code: 1, signal: null });
  expect(child.stderr.join('\n')).toContain('EADDRINUSE');
});
