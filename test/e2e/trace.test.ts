import { describe, expect, test } from 'vitest';
import { messageOf } from '../../server/errors.ts';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { spawnServer } from '../helpers/server.ts';
import { STORAGE_KINDS, createStorage } from '../helpers/storage.ts';
import { readTrace, typeTransaction } from '../helpers/traces.ts';

/** Transactions that one client types before it is the other's turn. */
const TURN = 100;
const ROOM = 'traces/friends forever';

describe.each(STORAGE_KINDS)('a trace on %s', (kind) => {
  test('[E11] two kinds of client type a real history alternately, across a SIGKILL, and a fresh client reads its end', async () => {
    const trace = readTrace('friendsforever_flat');
    const storage = await createStorage(kind);
    let server = await spawnServer(storage);
    const clients = [
      connectYWebsocket(server.url, encodeURIComponent(ROOM), { acks: true }),
      connectHocuspocus(server.url, ROOM),
    ] as const;
    await Promise.all(clients.map((client) => client.synced()));

    let typed = 0;
    const killAfter = Math.floor(trace.txns.length / 2);
    for (let turn = 0; typed < trace.txns.length; turn += 1) {
      const [typist, reader] = turn % 2 === 0 ? clients : [clients[1], clients[0]];
      const text = typist.doc.getText('content');
      const isKilled = typed < killAfter && typed + TURN >= killAfter;
      for (const transaction of trace.txns.slice(typed, typed + TURN)) typeTransaction(text, transaction);
      typed += TURN;
      if (isKilled) {
        await server.kill('SIGKILL');
        server = await spawnServer(storage, { PORT: new URL(server.url).port });
      }
      const expected = text.toString();
      try {
        await reader.sees((doc) => doc.getText('content').toString() === expected, 20_000);
      } catch (error) {
        // Whose fault it is shows on the other side, and in the server's log.
        const reading = `${messageOf(error)}\nthe typist: ${typist.standing()}`;
        throw new Error(`turn ${turn}: ${reading}\n${server.stdout.join('\n')}`, { cause: error });
      }
    }
    await Promise.all(clients.map((client) => client.saved()));
    for (const client of clients) client.destroy();

    await server.kill('SIGKILL');
    server = await spawnServer(storage, { PORT: new URL(server.url).port });
    const fresh = connectYWebsocket(server.url, encodeURIComponent(ROOM));
    await fresh.synced();
    expect(fresh.doc.getText('content').toString()).toBe(trace.endContent);
  }, 180_000);
});
