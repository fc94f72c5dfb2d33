import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { IndelibleClient } from '../../server/client.ts';
import { typist } from '../helpers/editor.ts';
import { atTestEnd } from '../helpers/cleanup.ts';
import { COLLECTING, heldSince, memoryOf } from '../helpers/memory.ts';
import { valueOf } from '../helpers/metrics.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import { createStorage } from '../helpers/storage.ts';
import { TEXT } from './documents.ts';
import { Member, type Place } from './member.ts';
import { percentile, short, table } from './report.ts';

const CASE_MS = 30 * 60_000;
const NAME = 'bench/programs';
const BEGIN = 'begin ';
const EDITORS = 50;
const CHANGES = 300;
/** Of the text that each inserts. */
const LENGTH = 10;
const AT_ONCE = [1, 8];
const SECONDS = 5;
/** Of the document that is read cold: 300 KB of text, as many edits as somebody needs for it in paragraphs. */
const PARAGRAPHS = 3_000;
const READS = 10_000;
const READS_AT_ONCE = 8;
const HELD_BYTES = READS * 300;

async function start(): Promise<{ server: ServerProcess; url: string; client: IndelibleClient }> {
  const server = await spawnServer(await createStorage('postgres'), {
    ...COLLECTING,
    LIMIT_USER_FRAMES: '1000000',
  });
  return { server, url: server.url, client: new IndelibleClient({ url: server.url }) };
}

const SHARES = [0.5, 0.99];

function row(what: string, times: number[]): string[] {
  return [what, ...SHARES.map((share) => short(percentile(times, share)))];
}

/** Milliseconds that something took, again and again. */
async function timesOf(count: number, work: (index: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const since = performance.now();
    await work(index);
    times.push(performance.now() - since);
  }
  return times;
}

/** People who have the document open. */
async function enter(url: string): Promise<Member[]> {
  const place: Place = { url, dialect: 'hocuspocus', document: NAME, from: '127.0.0.1' };
  const editors = Array.from({ length: EDITORS }, () => new Member(place));
  atTestEnd(() => editors.forEach((editor) => editor.leave()));
  await Promise.all(editors.map((editor) => editor.enter(new Map())));
  return editors;
}

/** Holds when each of them has been sent an update that holds this text. */
async function reached(editors: readonly Member[], text: string): Promise<void> {
  const arrivals = editors.map((editor) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    editor.onUpdate = (update) => Buffer.from(update).includes(text) && resolve();
    return promise;
  });
  await Promise.all(arrivals);
}

test(
  `[J4] patch: PATCH of one insert into an open document with ${EDITORS} editors, beside an edit over a socket`,
  { timeout: CASE_MS },
  async ({ task }) => {
    const { url, client } = await start();
    await client.create(NAME, { [TEXT]: BEGIN });
    const editors = await enter(url);
    const [writer, ...others] = editors as [Member, ...Member[]];
    let written = 0;
    // Each is another one, so that what is waited for is that change, and no frame ahead of it.
    const words = () => `${(written += 1)} `.padStart(LENGTH, '.');
    const patch = (text = words()) => client.patch(NAME, [{ op: 'insert', at: 0, text }]);
    const lasts: number[] = [];
    const answers = await timesOf(CHANGES, async () => {
      const since = performance.now();
      const text = words();
      const last = reached(editors, text).then(() => lasts.push(performance.now() - since));
      await Promise.all([patch(text), last]);
    });
    // The floor: somebody who types, and waits for everybody else and for the ack.
    const type = typist();
    const edits = await timesOf(CHANGES, async () => {
      const text = words();
      const ack = new Promise<void>((resolve) => (writer.onAck = resolve));
      const last = reached(others, text);
      writer.send({ type: 'update', update: type(text) });
      await Promise.all([ack, last]);
    });
    const rates: number[][] = [];
    for (const atOnce of AT_ONCE) {
      const until = performance.now() + SECONDS * 1_000;
      const times: number[] = [];
      const work = async () => {
        while (performance.now() < until) times.push(...(await timesOf(1, () => patch())));
      };
      await Promise.all(Array.from({ length: atOnce }, work));
      rates.push([times.length / SECONDS, percentile(times, 0.5), percentile(times, 0.99)]);
    }
    const { content } = await client.text(NAME);
    expect(content.length).toBe(BEGIN.length + written * LENGTH);
    task.meta.report = [
      table(
        ['one after the other', 'p50, ms', 'p99, ms'],
        [
          row('PATCH: answered, and everybody has it', answers),
          row('PATCH: the last editor has it', lasts),
          row('an edit over a socket: acknowledged, and everybody has it', edits),
          [
            'PATCH / edit',
            ...SHARES.map((share) => short(percentile(answers, share) / percentile(edits, share))),
          ],
        ],
      ),
      table(
        ['at once', 'requests a second', 'p50, ms', 'p99, ms'],
        rates.map((numbers, index) => [String(AT_ONCE[index])].concat(numbers.map(short))),
      ),
    ].join('\n\n');
  },
);

test(`[J5] reading a cold document of 300 KB, ${READS} times`, { timeout: CASE_MS }, async ({ task }) => {
  const { server, url, client } = await start();
  const doc = new Y.Doc();
  const text = doc.getText(TEXT);
  for (let index = 0; index < PARAGRAPHS; index += 1)
    text.insert(text.length / 2, `${'some words '.repeat(9)}\n`);
  const update = Y.encodeStateAsUpdate(doc);
  await client.create(NAME, update);
  const floor = await timesOf(200, () => {
    const copy = new Y.Doc();
    Y.applyUpdate(copy, update);
    return Promise.resolve(copy.getText(TEXT).toString());
  });
  const texts = await timesOf(500, () => client.text(NAME));
  const jsons = await timesOf(500, () => client.json(NAME));
  const before = await memoryOf(server);
  for (let read = 0; read < READS; read += READS_AT_ONCE)
    await Promise.all(Array.from({ length: READS_AT_ONCE }, () => client.text(NAME)));
  expect(await valueOf(url, 'indelible_documents')).toBe(0);
  const after = await memoryOf(server);
  const held = heldSince(before, after);
  // Of each read a byte in three hundred thousand.
  expect(held).toBeLessThan(HELD_BYTES);
  const beside = (what: string, times: number[]) =>
    row(what, times).concat(short(percentile(times, 0.5) / percentile(floor, 0.5)));
  task.meta.report = [
    table(
      [`${short(update.byteLength / 1024)} KB of update`, 'p50, ms', 'p99, ms', 'p50 / floor'],
      [
        beside('as text', texts),
        beside('as JSON', jsons),
        beside('the floor: Yjs applies it, in a process', floor),
      ],
    ),
    `After ${READS} reads of the text, ${READS_AT_ONCE} at once, and collecting garbage, the server held ${short(held / 2 ** 20)} MB more than ` +
      `before (resident: ${short(before.resident / 2 ** 20)} MB before, ${short(after.resident / 2 ** 20)} MB after), and no document.`,
  ].join('\n\n');
});
