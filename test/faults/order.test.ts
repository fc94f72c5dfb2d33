import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { applyUpdate } from '../../server/storage/stored-document.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { createSignal, until } from '../helpers/deadline.ts';
import { type Editor, PROTOCOLS, joinAs } from '../helpers/editor.ts';
import { createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import { spawnServer } from '../helpers/server.ts';
import { type Pick, pickOf, shuffled } from '../helpers/random.ts';
import { Changes } from './changes.ts';
import { makeNoise, putElement } from './edits.ts';
import { type Ledger, ROOTS } from './ledger.ts';
import { Stage } from './stage.ts';
import { SEED, scaled } from './run.ts';
import { isSame } from './verdict.ts';

const ROUNDS = scaled(4, 30);
const EDITS = 150;
/** Of the edits. */
const WITHHELD = 0.1;
const REPEATED = 0.2;
/** Frames that leave in one turn. */
const BURST = 8;

/** An edit on its own: the element that it types, if any, and its bytes. */
interface Edit {
  readonly element: string | undefined;
  readonly update: Uint8Array;
}

/** What two people have typed together, each on top of the other's: the edits, in their order, and what comes of them. */
function typeTogether(document: string, ledger: Ledger, pick: Pick): { edits: Edit[]; doc: Y.Doc } {
  const people = [new Y.Doc(), new Y.Doc()] as const;
  const edits: Edit[] = [];
  for (let count = 0; count < EDITS; count += 1) {
    const [author, other] = pick(2) === 0 ? people : ([people[1], people[0]] as const);
    const element = pick(4) === 0 ? undefined : `${document}.${count}`;
    const before = Y.encodeStateVector(author);
    let update: Uint8Array | undefined;
    author.once('update', (bytes: Uint8Array) => (update = bytes));
    author.transact(() =>
      element === undefined ? makeNoise(author, pick) : putElement(author, element, pick),
    );
    update ??= Y.encodeStateAsUpdate(author, before);
    Y.applyUpdate(other, update);
    if (element !== undefined) ledger.typed(document, element);
    edits.push({ element, update });
  }
  return { edits, doc: people[0] };
}

/** Sends edits as they are given to it, over one socket, and knows which were acked. */
class Sender {
  readonly changed = createSignal();
  readonly #sent: Edit[] = [];
  readonly #editor: Editor;
  readonly #document: string;
  readonly #ledger: Ledger;
  #known = 0;

  constructor(editor: Editor, document: string, ledger: Ledger) {
    this.#editor = editor;
    this.#document = document;
    this.#ledger = ledger;
    editor.client.socket.on('message', () => this.#read());
  }

  send(edit: Edit): void {
    this.#sent.push(edit);
    if (edit.element !== undefined) this.#ledger.sent(edit.element);
    this.#editor.send(edit.update);
  }

  /** What was acked. */
  acked(): Edit[] {
    const acks = this.#editor.acks();
    // All of these can be rebuilt sooner or later.
    if (acks.includes(false)) throw new Error('an edit was refused');
    return this.#sent.slice(0, acks.length);
  }

  async settled(): Promise<void> {
    await until({
      what: () => `acks of ${this.#sent.length} edits (${this.acked().length} came)`,
      check: () => this.acked().length === this.#sent.length,
      signal: this.changed,
    });
    this.#editor.client.socket.terminate();
  }

  #read(): void {
    const acked = this.acked();
    for (const { element, update } of acked.slice(this.#known)) {
      if (element !== undefined) this.#ledger.acked(element);
      this.#ledger.ackedFrame(this.#document, { by: '', update, changes: new Changes().add(update) });
    }
    this.#known = acked.length;
    this.changed.fire();
  }
}

/** One sender over each protocol. */
async function senders(stage: Stage, document: string): Promise<Sender[]> {
  const { url } = stage.server;
  const editors = await Promise.all(PROTOCOLS.map((protocol) => joinAs(protocol, url, document)));
  return editors.map((editor) => new Sender(editor, document, stage.ledger));
}

/** Sends most edits out of their order, until the server is killed while some are on their way. @returns what was acked */
async function sendUntilTheKill(
  stage: Stage,
  document: string,
  edits: readonly Edit[],
  pick: Pick,
): Promise<Set<Edit>> {
  const repeated = edits.filter(() => stage.chance() < REPEATED);
  const frames = shuffled([...edits, ...repeated], pick);
  const sending = await senders(stage, document);
  const acks = () => sending.reduce((sum, sender) => sum + sender.acked().length, 0);
  // Any moment from the first ack to the last but some.
  const last = 1 + pick(frames.length - BURST);
  const death = Promise.withResolvers<unknown>();
  const strike = () => {
    if (acks() >= last) death.resolve(stage.server.kill('SIGKILL'));
  };
  for (const sender of sending) sender.changed.subscribe(strike);
  for (const [index, frame] of frames.entries()) {
    sending[pick(sending.length)]?.send(frame);
    if (index % BURST === 0) await new Promise(setImmediate);
  }
  await death.promise;
  return new Set(sending.flatMap((sender) => sender.acked()));
}

/** Fails unless the database alone, and what was never acked, give everything that was acked. */
async function canBeRebuilt(stage: Stage, document: string, others: readonly Edit[], doc: Y.Doc) {
  const database = await openStorage(stage.storage);
  const stored = (await rebuild(database, document)) ?? new Y.Doc();
  await database.close();
  const { ledger } = stage;
  expect(ledger.lostIn(document, stored), 'acked, and neither there nor waiting').toEqual([]);
  const isWaiting = stored.store.pendingStructs !== null || stored.store.pendingDs !== null;
  // As the server does; Yjs itself may leave edits waiting for nothing, until the next one comes.
  for (const { update } of others) applyUpdate(stored, update);
  expect(stored.store.pendingStructs ?? stored.store.pendingDs).toBeNull();
  expect(isSame(stored, doc), 'what comes of all edits').toBe(true);
  return { isWaiting };
}

async function playOneRound(stage: Stage, document: string): Promise<{ isWaiting: boolean }> {
  const pick = pickOf(stage.chance);
  const { edits, doc } = typeTogether(document, stage.ledger, pick);
  const withheld = new Set(edits.filter(() => stage.chance() < WITHHELD));
  const offered = edits.filter((edit) => !withheld.has(edit));
  const acked = await stage.whileTyping(() => sendUntilTheKill(stage, document, offered, pick));
  const others = edits.filter((edit) => !acked.has(edit));
  const found = await canBeRebuilt(stage, document, others, doc);
  await stage.nothingIsLost();

  await stage.startServer();
  const readers = [
    connectYWebsocket(stage.server.url, encodeURIComponent(document)),
    connectHocuspocus(stage.server.url, document),
  ];
  for (const reader of readers) await reader.synced();
  const sending = await senders(stage, document);
  for (const edit of shuffled(others, pick)) sending[pick(sending.length)]?.send(edit);
  for (const sender of sending) await sender.settled();
  for (const reader of readers) {
    await reader.sees((its) => isSame(its, doc));
    expect(reader.doc.store.pendingStructs ?? reader.doc.store.pendingDs).toBeNull();
    reader.destroy();
  }
  return found;
}

test(
  `[F20] edits that come twice, out of their order, or without what they build on are acked only if they can be rebuilt (SEED=${SEED})`,
  async () => {
    const storage = await createStorage('postgres');
    const stage = await Stage.set({ storage });
    let waiting = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const { isWaiting } = await playOneRound(stage, `order/${round}`);
      if (isWaiting) waiting += 1;
    }
    // Kills that met nothing that waits would prove little.
    expect(waiting).toBeGreaterThan(ROUNDS / 2);
    await stage.allIsWell();
    const database = await openStorage(storage);
    for (let round = 0; round < ROUNDS; round += 1) {
      const stored = await rebuild(database, `order/${round}`);
      expect(stage.ledger.lostIn(`order/${round}`, stored)).toEqual([]);
      expect(stored?.store.pendingStructs ?? stored?.store.pendingDs).toBeNull();
    }
    await database.close();
  },
  scaled(120_000, 900_000),
);

test('[F20] what waits is told to who connects, and to who was there when it waits no more', async () => {
  const storage = await createStorage('postgres');
  const { url } = await spawnServer(storage);
  const author = new Y.Doc();
  const updates: Uint8Array[] = [];
  author.on('update', (update: Uint8Array) => updates.push(update));
  for (const word of ['three', 'two ', 'one ']) author.getText(ROOTS.text).insert(0, word);
  const [first, second, third] = updates as [Uint8Array, Uint8Array, Uint8Array];
  const holder = new Y.Doc();
  for (const update of [first, third]) Y.applyUpdate(holder, update);

  const present = connectYWebsocket(url, 'waiting');
  await present.synced();
  const sender = await joinAs('y-websocket', url, 'waiting');
  sender.send(Y.encodeStateAsUpdate(holder), 'step2');
  expect(await sender.ack()).toBe(true);
  const late = connectYWebsocket(url, 'waiting');
  await late.synced();
  const database = await openStorage(storage);
  const stored = await rebuild(database, 'waiting');
  await database.close();
  const waiting = `structs ${author.clientID}:[9, 13)`;
  const lacking = (doc: Y.Doc | null) =>
    new Changes().add(third).missingIn(new Changes().add(Y.encodeStateAsUpdate(doc as Y.Doc)));
  expect([stored, late.doc, present.doc].map(lacking)).toEqual([[], [], [waiting]]);

  sender.send(second);
  for (const reader of [present, late]) {
    await reader.sees((doc) => isSame(doc, author));
    expect(reader.doc.store.pendingStructs).toBeNull();
    reader.destroy();
  }
});
