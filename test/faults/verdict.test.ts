import { expect, test } from 'vitest';
import { createStorage, insertRows, openStorage } from '../helpers/storage.ts';
import { COLLECTING } from '../helpers/memory.ts';
import { updateOf } from '../helpers/editor.ts';
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
