import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { createStorage, insertRows, openStorage } from '../helpers/storage.ts';
import { COLLECTING } from '../helpers/memory.ts';
import { joinAs, updateOf } from '../helpers/editor.ts';
import { Changes } from './changes.ts';
import { Ledger, ROOTS } from './ledger.ts';
import { Stage } from './stage.ts';

const DOCUMENT = 'verdict';
const EDITS = 50;

async function setStage(env: Record<string, string> = {}): Promise<Stage> {
  const stage = await Stage.set({ storage: await createStorage('postgres'), documents: [DOCUMENT], env });
  for (let edit = 0; edit < EDITS; edit += 1) stage.type();
  await stage.settled();
  return stage;
}

test('[T19] the verdict on a fault catches an acknowledged edit that is not in the database', async () => {
  const stage = await setStage();
  const { queries } = await openStorage(stage.storage);
  await stage.nothingIsLost();
  await queries.query('delete from indelible.updates where id = (select max(id) from indelible.updates)');
  await expect(stage.nothingIsLost()).rejects.toThrow('acknowledged edits that are not in the database');
  await expect(stage.allIsWell()).rejects.toThrow(/to deeply equal|agree/);
});

test.each<[what: string, edit: (text: Y.Text) => void, lost: RegExp]>([
  ['a deletion', (text) => text.delete(1, 2), /^deletions 1:\[1, 3\)$/],
  ['a format', (text) => text.format(0, 2, { bold: true }), /^structs 1:\[5, 7\)$/],
  ['an insertion', (text) => text.insert(5, '!'), /^structs 1:\[5, 6\)$/],
])('[T19] it catches the loss of %s that was acknowledged', (_what, edit, lost) => {
  const doc = new Y.Doc();
  doc.clientID = 1;
  const text = doc.getText(ROOTS.text);
  text.insert(0, 'words');
  const before = new Y.Doc();
  Y.applyUpdate(before, Y.encodeStateAsUpdate(doc));
  const updates: Uint8Array[] = [];
  doc.on('update', (update: Uint8Array) => updates.push(update));
  edit(text);
  const [update] = updates as [Uint8Array];
  const ledger = new Ledger();
  ledger.ackedFrame(DOCUMENT, { by: 'author', update, changes: new Changes().add(update) });
  expect(ledger.lostIn(DOCUMENT, before)).toEqual([expect.stringMatching(lost)]);
  expect(ledger.lostIn(DOCUMENT, doc)).toEqual([]);
  // What waits is not lost: who brings what is missing makes it visible.
  const waiting = new Y.Doc();
  Y.applyUpdate(waiting, update);
  expect(ledger.lostIn(DOCUMENT, waiting)).toEqual([]);
});

test('[T19] it catches what waits for edits that nobody will bring', async () => {
  const stage = await setStage();
  const doc = new Y.Doc();
  const text = doc.getText(ROOTS.text);
  text.insert(0, 'before');
  const stateVector = Y.encodeStateVector(doc);
  text.insert(6, 'after');
  const sender = await joinAs('hocuspocus', stage.server.url, DOCUMENT);
  sender.send(Y.encodeStateAsUpdate(doc, stateVector));
  expect(await sender.ack()).toBe(true);
  await stage.nothingIsLost();
  await expect(stage.allIsWell()).rejects.toThrow('what waits in verdict');
});

test('[T19] it catches memory that a server keeps', async () => {
  const keeps = `${COLLECTING.NODE_OPTIONS} --import=data:text/javascript,${encodeURIComponent(
    `process.on('SIGUSR1', () => { globalThis.kept = Buffer.alloc(60 << 20, 1); console.log('kept'); });`,
  )}`;
  const stage = await setStage({ NODE_OPTIONS: keeps });
  stage.server.signal('SIGUSR1');
  await stage.server.line(/^kept$/);
  await expect(stage.allIsWell()).rejects.toThrow('memory');
});

test('[T19] it catches what only the database has', async () => {
  const stage = await setStage();
  await insertRows(await openStorage(stage.storage), DOCUMENT, [updateOf('nobody has seen this')]);
  await stage.nothingIsLost();
  await expect(stage.allIsWell()).rejects.toThrow('copies of verdict agree');
});

test('[T19] it catches an unhandled rejection, and a server that does not end well', async () => {
  const rejects = `${COLLECTING.NODE_OPTIONS} --import=data:text/javascript,${encodeURIComponent(
    `process.on('SIGUSR1', () => Promise.reject(new Error('nobody handles this')));`,
  )}`;
  const stage = await setStage({ NODE_OPTIONS: rejects });
  stage.server.signal('SIGUSR1');
  await stage.server.line(/nobody handles this/);
  await stage.server.exited;
  await stage.startServer();
  await expect(stage.allIsWell()).rejects.toThrow('what a server has printed');
});
