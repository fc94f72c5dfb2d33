import { setImmediate as aTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { formatSome, makeNoise, putElement } from '../faults/edits.ts';
import { ROOTS } from '../faults/ledger.ts';
import { isSame } from '../faults/verdict.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS, type Protocol } from '../helpers/editor.ts';
import { seedOf } from '../helpers/hostile.ts';
import { clusterOptions, startInstance } from '../helpers/instances.ts';
import { type Person, connectPerson } from '../helpers/person.ts';
import { type Pick, pickOf, randomOf } from '../helpers/random.ts';
import { openStorage, rebuild } from '../helpers/storage.ts';

/** Histories; of a SEED that is given, its own only. */
const SEEDS = process.env['SEED'] === undefined ? 100 : 1;
const FIRST = seedOf(Date.now() % 100_000);
const AT_ONCE = 10;
const STEPS = 60;
const DEADLINE_MS = 20_000;

/** Somebody who edits a document in all ways that there are, mostly at one of the instances. */
class Editor {
  readonly doc = new Y.Doc();
  readonly #protocol: Protocol;
  readonly #document: string;
  readonly #urls: readonly string[];
  readonly #pick: Pick;
  readonly #undo: Y.UndoManager;
  #place: number;
  #person: Person;
  #isOnline = true;
  #count = 0;

  constructor(protocol: Protocol, document: string, urls: readonly string[], pick: Pick) {
    this.#protocol = protocol;
    this.#document = document;
    this.#urls = urls;
    this.#pick = pick;
    this.#place = pick(urls.length);
    const { doc } = this;
    const roots = [doc.getText(ROOTS.text), doc.getMap(ROOTS.map), doc.getArray(ROOTS.list)];
    this.#undo = new Y.UndoManager([...roots, doc.getXmlFragment(ROOTS.xml)], {
      trackedOrigins: new Set([this]),
      captureTimeout: 0,
    });
    this.#person = this.#connect();
  }

  #connect(): Person {
    const url = this.#urls[this.#place] ?? '';
    return connectPerson(this.#protocol, url, this.#document, { doc: this.doc });
  }

  step(): void {
    const what = this.#pick(100);
    if (what < 10) this.#undo.undo();
    else if (what < 15) this.#undo.redo();
    else if (what < 20) this.#toggleLine();
    else if (what < 23) this.#move();
    else this.doc.transact(() => this.#edit(), this);
  }

  #edit(): void {
    const { doc } = this;
    const pick = this.#pick;
    const [list, map] = [doc.getArray(ROOTS.list), doc.getMap(ROOTS.map)];
    const xml = doc.getXmlFragment(ROOTS.xml);
    switch (pick(8)) {
      case 0:
        formatSome(doc, pick);
        break;
      case 1:
        makeNoise(doc, pick);
        break;
      case 2:
        deleteSome(doc.getText(ROOTS.text), pick);
        break;
      case 3:
        deleteSome(pick(2) === 0 ? list : xml, pick);
        break;
      case 4:
        // Of few keys, so that several set one.
        if (pick(3) === 0) map.delete(`${pick(4)}`);
        else map.set(`${pick(4)}`, this.#name());
        break;
      case 5:
        changeNested(list, this.#name(), pick);
        break;
      default:
        putElement(doc, this.#name(), pick);
    }
  }

  #name(): string {
    return `${this.doc.clientID}.${(this.#count += 1)}`;
  }

  #toggleLine(): void {
    if (this.#isOnline) this.#person.goOffline();
    else this.#person.goOnline();
    this.#isOnline = !this.#isOnline;
  }

  /** Goes on at the next instance, with whatever is not acknowledged. */
  #move(): void {
    this.#person.destroy();
    this.#place = (this.#place + 1) % this.#urls.length;
    this.#person = this.#connect();
    this.#isOnline = true;
  }

  /** Holds when it is back, and has told what it has. */
  async saved(deadlineMs: number): Promise<void> {
    if (!this.#isOnline) this.#toggleLine();
    await this.#person.saved(deadlineMs);
  }

  leave(): void {
    this.#person.destroy();
  }
}

/** Deletes a few of what is there. */
function deleteSome(type: Y.Text | Y.Array<unknown> | Y.XmlFragment, pick: Pick): void {
  if (type.length === 0) return;
  const at = pick(type.length);
  type.delete(at, Math.min(1 + pick(3), type.length - at));
}

/** Changes a type within the list, if there is one. */
function changeNested(list: Y.Array<unknown>, name: string, pick: Pick): void {
  const nested = list.toArray().filter((item) => item instanceof Y.Map);
  const map = nested[pick(nested.length)];
  const text = map?.get('is');
  if (pick(2) === 0) map?.set(`${pick(2)}`, name);
  else if (text instanceof Y.Text) text.insert(pick(text.length + 1), name);
  else map?.set('is', new Y.Text(name));
}

/** One history; fails unless everybody ends with the same. */
async function live(seed: number, urls: readonly string[], databaseUrl: string): Promise<void> {
  const pick = pickOf(randomOf(seed));
  const document = `convergence/${seed}`;
  const editors = Array.from(
    { length: 3 + pick(3) },
    (_, index) => new Editor(PROTOCOLS[index % PROTOCOLS.length] as Protocol, document, urls, pick),
  );
  for (let steps = 0; steps < STEPS; steps += 1) {
    editors[pick(editors.length)]?.step();
    // Some edits are one frame, some cross others on their way.
    for (let turns = pick(4); turns > 0; turns -= 1) await aTurn();
  }
  await Promise.all(editors.map((editor) => editor.saved(DEADLINE_MS)));
  const newcomers = urls.map((url) => connectYWebsocket(url, encodeURIComponent(document), { acks: true }));
  await Promise.all(newcomers.map((newcomer) => newcomer.synced(DEADLINE_MS)));
  // What has come of others makes Yjs delete formatting that is of no use any more: an edit too, which others have before
  // it is committed. When all have the same none is on its way, and each has then to wait for its own.
  const [first, ...others] = [...editors, ...newcomers] as [
    Editor,
    ...(Editor | ReturnType<typeof connectYWebsocket>)[],
  ];
  const differing = () => others.filter(({ doc }) => !isSame(doc, first.doc)).length;
  await expect.poll(differing, { timeout: DEADLINE_MS, interval: 100 }).toBe(0);
  await Promise.all([first, ...others].map((person) => person.saved(DEADLINE_MS)));
  const database = await openStorage({ databaseUrl });
  const stored = await rebuild(database, document);
  await database.close();
  expect(stored !== null && isSame(stored, first.doc), 'the database alone gives the same').toBe(true);
  for (const doc of [first.doc, ...others.map((person) => person.doc), stored]) {
    expect([doc?.store.pendingStructs, doc?.store.pendingDs]).toEqual([null, null]);
  }
  for (const editor of editors) editor.leave();
  for (const newcomer of newcomers) newcomer.destroy();
}

test(`[N13] histories of several people at two instances, ${SEEDS} of them, end with one document each (SEED=${FIRST})`, async () => {
  // Each client of y-websocket listens for the end of the process.
  process.setMaxListeners(100);
  const options = await clusterOptions();
  const instances = [await startInstance(options), await startInstance(options)];
  const urls = instances.map(({ url }) => url);
  const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST + index);
  const liveAll = async () => {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      try {
        await live(seed, urls, options.databaseUrl ?? '');
      } catch (cause) {
        throw new Error(`SEED=${seed}`, { cause });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, liveAll));
  const errors = instances.flatMap(({ log }) => log.filter(({ level }) => level >= 50));
  expect(errors).toEqual([]);
}, 120_000);
