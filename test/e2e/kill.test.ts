import { describe, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { type RawClient, rawHocuspocus, rawYWebsocket } from '../helpers/raw-client.ts';
import { spawnServer } from '../helpers/server.ts';
import { STORAGE_KINDS, createStorage, openStorage, rebuild } from '../helpers/storage.ts';
import { randomOf } from '../helpers/random.ts';

const DOCUMENTS = 4;
const EDITS = 400;

/** One client that counts its acks; they come in the order of its edits. */
interface Typist {
  document: string;
  protocol: 'y-websocket' | 'hocuspocus';
  sent: string[];
  acked: number;
  type(): void;
  leave(): void;
}

describe.each(STORAGE_KINDS)('kill -9 on %s', (kind) => {
  test.each([1, 2, 3])(
    '[E12] every acked edit of both protocols is in the database though no client comes back (seed %i)',
    async (seed) => {
      const random = randomOf(seed);
      const storage = await createStorage(kind);
      const server = await spawnServer(storage);
      const documents = Array.from({ length: DOCUMENTS }, (_, index) => `kill/${index}`);
      const typists = await Promise.all(
        documents.flatMap((document) => [
          join(server.url, document, 'y-websocket'),
          join(server.url, document, 'hocuspocus'),
        ]),
      );

      // Everybody types in bursts until the kill, which comes while edits are on their way.
      const killAfter = Math.floor(EDITS * (0.25 + 0.5 * random()));
      for (let edit = 0; edit < EDITS; edit += 1) {
        for (const typist of typists) typist.type();
        if (edit === killAfter) break;
        if (edit % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (edit % 50 === 49) await someAcks(typists, random);
      }
      await server.kill('SIGKILL');
      for (const typist of typists) typist.leave();

      const database = await openStorage(storage);
      for (const { document, protocol, sent, acked } of typists) {
        const stored = (await rebuild(database, document))?.getMap('edits');
        const missing = sent.slice(0, acked).filter((key) => stored?.get(key) !== true);
        expect(missing, `acked edits of ${protocol} in ${document}`).toEqual([]);
        expect(acked, `acks of ${protocol} in ${document}`).toBeGreaterThan(0);
      }
    },
    60_000,
  );
});

/** Waits until a random typist has a random share of its acks, so that the kill meets different moments. */
async function someAcks(typists: Typist[], random: () => number): Promise<void> {
  const typist = typists[Math.floor(random() * typists.length)];
  const enough = Math.floor((typist?.sent.length ?? 0) * (0.5 + 0.5 * random()));
  await vi.waitFor(() => expect(typist?.acked).toBeGreaterThanOrEqual(enough), {
    interval: 1,
    timeout: 20_000,
  });
}

async function join(url: string, document: string, protocol: Typist['protocol']): Promise<Typist> {
  const client = await connect(url, document, protocol);
  const doc = new Y.Doc();
  const edits = doc.getMap('edits');
  const typist: Typist = {
    document,
    protocol,
    sent: [],
    acked: 0,
    type() {
      const key = `${protocol} ${this.sent.length}`;
      this.sent.push(key);
      edits.set(key, true);
    },
    leave: () => client.socket.terminate(),
  };
  doc.on('update', (update: Uint8Array) => client.send({ type: 'update', update }, document));
  client.socket.on('message', () => {
    const frame = client.frames.at(-1);
    if (frame?.type === 'sync-status' && frame.saved) typist.acked += 1;
  });
  return typist;
}

async function connect(url: string, document: string, protocol: Typist['protocol']): Promise<RawClient> {
  if (protocol === 'y-websocket') return rawYWebsocket(`${url}/${document}?acks=1`);
  const client = await rawHocuspocus(url);
  client.send({ type: 'token', token: '' }, document);
  return client;
}
