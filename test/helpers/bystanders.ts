import { expect } from 'vitest';
import * as Y from 'yjs';
import type { ServerOptions } from '../../server/index.ts';
import { atTestEnd } from './cleanup.ts';
import { type Editor, PROTOCOLS, joinAs, textOf } from './editor.ts';
import { type TestServer, startServer } from './server.ts';
import { type Storage, createStorage, openStorage, rebuild } from './storage.ts';

/** Two innocent clients, one of each protocol, who have a document open while others do their worst. */
export interface Bystanders {
  /**
   * Fails unless all is as it was: the server answers, each of the two is still connected, gets the other's edits and the
   * acks of its own, and the database alone gives what they typed, and nothing else.
   */
  goOn(): Promise<void>;
}

/** A server with a document that two bystanders have open. */
export interface Scene extends TestServer {
  storage: Storage;
  /** The document. */
  room: string;
  bystanders: Bystanders;
  /**
   * Fails unless the bystanders go on, no rejection was unhandled, and the server has logged no errors but the expected.
   * @param errors - the messages of those, in any order and number
   */
  isUnharmed(errors?: string[]): Promise<void>;
}

export async function setScene(room: string, options: ServerOptions = {}): Promise<Scene> {
  const storage = await createStorage('postgres');
  const server = await startServer({ ...storage, ...options });
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => void rejections.push(reason);
  process.on('unhandledRejection', onRejection);
  atTestEnd(() => process.off('unhandledRejection', onRejection));
  const bystanders = await joinBystanders(server.url, storage, room);
  const isUnharmed = async (errors: string[] = []) => {
    await bystanders.goOn();
    const logged = server.log.filter(({ level }) => level >= ERROR).map(({ msg }) => msg);
    expect(new Set(logged)).toEqual(new Set(errors));
    expect(rejections).toEqual([]);
  };
  return { ...server, storage, room, bystanders, isUnharmed };
}

/** Of pino. */
export const ERROR = 50;

export async function joinBystanders(url: string, storage: Storage, room: string): Promise<Bystanders> {
  const database = await openStorage(storage);
  const typed: string[] = [];
  const people = await Promise.all(
    PROTOCOLS.map(async (protocol) => ({ editor: await joinAs(protocol, url, room), view: new Y.Doc() })),
  );
  const typeWord = async (author: (typeof people)[number]) => {
    const word = `word${typed.length} `;
    typed.push(word);
    // Which the server does not send back.
    Y.applyUpdate(author.view, author.editor.type(word));
    expect(await author.editor.ack()).toBe(true);
    for (const person of people) await reads(person, word);
  };
  const goOn = async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    for (const person of people) await typeWord(person);
    const stored = await rebuild(database, room);
    const words = textOf(stored ?? new Y.Doc());
    expect(words.match(/\S+ /g)?.toSorted()).toEqual(typed.toSorted());
    for (const { view } of people) expect(textOf(view)).toBe(words);
    // Nothing of anybody else's, shown or kept aside.
    expect([...(stored?.share.keys() ?? [])]).toEqual(['content']);
    expect(new Set(stored?.store.clients.keys())).toEqual(
      new Set(people.map(({ editor }) => editor.doc.clientID)),
    );
    expect(stored?.store.pendingStructs ?? stored?.store.pendingDs).toBeNull();
  };
  await goOn();
  return { goOn };
}

/** Holds when somebody has been sent a word. */
async function reads({ editor, view }: { editor: Editor; view: Y.Doc }, word: string): Promise<void> {
  while (!textOf(view).includes(word)) Y.applyUpdate(view, (await editor.client.next('update')).update);
}
