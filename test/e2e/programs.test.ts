import { expect, test, vi } from 'vitest';
import type * as Y from 'yjs';
import { ApiError, IndelibleClient } from '../../server/client.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { textOf } from '../helpers/editor.ts';
import { clusterOptions } from '../helpers/instances.ts';
import { pickOf, randomOf, type Pick } from '../helpers/random.ts';
import { readinessBecomes } from '../helpers/readiness.ts';
import { spawnServer, startServer } from '../helpers/server.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';

const NAME = 'notes/today';
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const EDITORS = 5;
const PROGRAMS = 5;
/** Acknowledged changes of all before an instance is killed, and as many afterwards. */
const CHANGES = 15 * (EDITORS + PROGRAMS);
/** Indexes for which a read tells relative positions. */
const INDEXES = Array.from({ length: 100 }, (_, index) => index);
/** A word that is acknowledged later is as good; who is cut off goes on typing. */
const PATIENCE_MS = 1_000;
/** Between two words, at most: programs that insist on what they have read need a moment in which nobody changes anything. */
const PAUSE_MS = 200;

/** Where a word begins: in the middle of one it would tear it apart. */
function boundariesIn(text: string): number[] {
  return INDEXES.filter((index) => index < text.length && text[index] === '<');
}

/** Types words of their own, one after the other, and tells of those that are acknowledged. */
async function type(
  seat: { client: { doc: Y.Doc; saved(ms: number): Promise<void> } },
  name: string,
  { pick, isOver, acked }: { pick: Pick; isOver: () => boolean; acked: string[] },
): Promise<void> {
  for (let word = 0; !isOver(); word += 1) {
    const text = seat.client.doc.getText('content');
    const places = boundariesIn(text.toString());
    const written = `<${name}.${word}>`;
    text.insert(places[pick(places.length)] ?? 0, written);
    const isAcked = await seat.client.saved(PATIENCE_MS).then(
      () => true,
      () => false,
    );
    if (isAcked) acked.push(written);
    await pause(pick);
  }
}

function pause(pick: Pick): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pick(PAUSE_MS)));
}

/** A client of the instance at an address, and of the other one once that is gone, as behind a balancer. */
function balancedClient(first: string, second: string): IndelibleClient {
  let url = first;
  return new IndelibleClient({
    url,
    retries: 30,
    timeoutMs: 3_000,
    fetch: async (input, init) => {
      const { pathname, search } = new URL(input as URL);
      try {
        return await fetch(new URL(pathname + search, url), init);
      } catch (error) {
        url = second;
        throw error;
      }
    },
  });
}

/** Changes the text at relative positions; and insists on what was read, if told so. */
async function change(
  client: IndelibleClient,
  name: string,
  { insists, pick, isOver, acked }: { insists: boolean; pick: Pick; isOver: () => boolean; acked: string[] },
): Promise<void> {
  for (let word = 0; !isOver();) {
    const relative = INDEXES.slice(0, 12);
    const { content, etag, positions } = await client.text(NAME, { relative });
    const places = boundariesIn(content).filter((index) => index < relative.length);
    const position = positions[places[pick(places.length)] ?? 0] ?? '';
    const written = `<${name}.${word}>`;
    try {
      const operation = { op: 'insert' as const, at: { relative: position }, text: written };
      await client.patch(NAME, [operation], insists ? { ifMatch: etag } : {});
    } catch (error) {
      // It has moved on; or what was read at the one instance died with it.
      if (error instanceof ApiError && ['document_changed', 'bad_operation'].includes(error.code)) continue;
      throw error;
    }
    acked.push(written);
    word += 1;
    await pause(pick);
  }
}

test(`[U8] [U6] [U7] people type while programs change the same text through two instances, one of which dies (SEED=${SEED})`, async () => {
  const options = await clusterOptions();
  const storage = { databaseUrl: options.databaseUrl ?? '' };
  const environment = { REDIS_URL: String(options.redisUrl), REDIS_PREFIX: options.redisPrefix ?? '' };
  const doomed = await spawnServer(storage, environment);
  const lasting = await startServer(options);
  const urls = [doomed.url, lasting.url];
  for (const url of urls) await readinessBecomes(url, { status: 'ready' });
  await new IndelibleClient({ url: lasting.url }).create(NAME, { content: '<here it begins><and ends>' });

  const random = randomOf(SEED);
  const acked: string[] = [];
  let isEnough = false;
  const isOver = () => isEnough;
  const common = () => ({ pick: pickOf(random), isOver, acked });
  const seats = Array.from({ length: EDITORS }, (_, index) => ({
    client:
      index % 2 === 0
        ? connectYWebsocket(doomed.url, NAME, { acks: true })
        : connectHocuspocus(lasting.url, NAME),
  }));
  for (const { client } of seats) await client.sees((doc) => textOf(doc) !== '');
  const working = [
    ...seats.map((seat, index) => type(seat, `editor ${index}`, common())),
    ...Array.from({ length: PROGRAMS }, (_, index) => {
      const client = balancedClient(urls[index % 2] ?? '', lasting.url);
      return change(client, `program ${index}`, { insists: index < 2, ...common() });
    }),
  ];
  const failed = Promise.all(working);
  const names = ['editor', 'program'].flatMap((kind) =>
    Array.from({ length: EDITORS }, (_, index) => `<${kind} ${index}.`),
  );
  /** Everybody has had something acknowledged since, and all together enough. */
  const acknowledged = (since: number) =>
    Promise.race([
      failed,
      vi.waitFor(() => {
        const words = acked.slice(since);
        expect(words.length).toBeGreaterThan(CHANGES);
        expect(names.filter((name) => !words.some((word) => word.startsWith(name)))).toEqual([]);
      }, 60_000),
    ]);
  try {
    await acknowledged(0);
    await doomed.kill('SIGKILL');
    // As their providers would through a balancer, with all that they hold.
    for (const [index, seat] of seats.entries()) {
      if (index % 2 !== 0) continue;
      seat.client.destroy();
      seat.client = connectYWebsocket(lasting.url, NAME, { acks: true, doc: seat.client.doc });
    }
    await acknowledged(acked.length);
  } finally {
    isEnough = true;
  }
  await failed;
  for (const { client } of seats) await client.saved(20_000);

  const stored = await rebuild(await openStorage(storage), NAME);
  const text = stored === null ? '' : textOf(stored);
  const times = (word: string) => text.split(word).length - 1;
  expect(acked.filter((word) => times(word) !== 1).map((word) => `${word}: ${times(word)} times`)).toEqual(
    [],
  );
  for (const { client } of seats) await client.sees((doc) => textOf(doc) === text, 10_000);
}, 180_000);
