import { describe, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { connectHocuspocus, connectYWebsocket, hocuspocusSocket } from '../helpers/clients.ts';
import { PROTOCOLS, joinAs, textOf, typist, updateOf } from '../helpers/editor.ts';
import { delivered, documentsBecome, valueOf } from '../helpers/metrics.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { startServer } from '../helpers/server.ts';
import { type Storage, createStorage, insertRows, openStorage, rebuild } from '../helpers/storage.ts';
import { inOnePiece } from '../helpers/raw-client.ts';
import { throwOnNextApply } from '../helpers/thrown.ts';

async function query(storage: Storage, sql: string, parameters: unknown[] = []): Promise<void> {
  await (await openStorage(storage)).queries.query(sql, parameters);
}

/** A document with a text, stored and no longer in memory. */
async function storeText(url: string, name: string, text: string): Promise<void> {
  const editor = await joinAs('y-websocket', url, name);
  editor.type(text);
  expect(await editor.ack()).toBe(true);
  editor.client.socket.close();
  await documentsBecome(url, 0);
}

describe.each(PROTOCOLS)('documents over %s', (protocol) => {
  test('[A8] a frame that throws is neither acked nor logged, and the document is rebuilt with everything else', async () => {
    const storage = await createStorage('postgres');
    const { url, log } = await startServer(storage);
    const real = connectYWebsocket(url, 'doc/spoilt', { acks: true });
    await real.synced();
    const hostile = await joinAs(protocol, url, 'doc/spoilt');
    hostile.type('mine ');
    expect(await hostile.ack()).toBe(true);
    real.doc.getText('content').insert(0, 'theirs ');
    await real.saved();

    throwOnNextApply();
    hostile.type('never ');
    expect(await hostile.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
    expect(hostile.acks()).toEqual([true]);
    await real.closed();
    expect(real.closes).toEqual([{ code: 4503, reason: 'document_reset' }]);
    await real.synced();
    real.doc.getText('content').insert(0, 'after ');
    await real.saved();
    const stored = await rebuild(await openStorage(storage), 'doc/spoilt');
    const text = stored === null ? '' : textOf(stored);
    expect(text).toBe(textOf(real.doc));
    expect(text.split(' ').toSorted()).toEqual(['', 'after', 'mine', 'theirs']);
    expect(log.filter(({ msg }) => msg === 'a document is rebuilt from storage')).toHaveLength(1);
  });

  test('[A8] a frame that throws after others in its turn: those are kept, and it is rebuilt once', async () => {
    const { url, log } = await startServer();
    const [editor, other] = [
      await joinAs(protocol, url, 'doc/turn'),
      await joinAs(protocol, url, 'doc/turn'),
    ];
    await Promise.all([editor.ask(), other.ask()]);
    other.type('kept');
    expect(await other.ack()).toBe(true);
    throwOnNextApply();
    // In one read: the last of them throws.
    inOnePiece(editor.client, () => {
      for (const letter of 'abc') editor.type(letter);
    });
    await Promise.all([editor.client.closed(), other.client.closed()]);
    const again = await joinAs(protocol, url, 'doc/turn');
    expect(['keptab', 'abkept']).toContain(textOf(await again.ask()));
    expect(log.filter(({ msg }) => msg === 'a document is rebuilt from storage')).toHaveLength(1);
  });

  test('[D1] it leaves memory when the last client has left and everything is committed', async () => {
    const cluster = await startPostgres();
    const { url } = await startServer({ databaseUrl: cluster.url });
    const editor = await joinAs(protocol, url, 'doc/unload');
    await editor.ask();
    cluster.freeze();
    editor.type('not committed yet');
    await editor.ask();
    editor.client.socket.terminate();
    await vi.waitFor(async () => expect(await valueOf(url, 'indelible_connections', { protocol })).toBe(0));
    expect(await valueOf(url, 'indelible_documents')).toBe(1);
    const back = await joinAs(protocol, url, 'doc/unload');
    expect(textOf(await back.ask()), 'it is still the one in memory').toBe('not committed yet');
    back.client.socket.terminate();
    cluster.thaw();
    await documentsBecome(url, 0, 20_000);
    const again = await joinAs(protocol, url, 'doc/unload');
    expect(textOf(await again.ask())).toBe('not committed yet');
  }, 60_000);

  test('[D2] no edit is lost among many that open, type and leave at once', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    const acked: string[] = [];
    const visit = async (visitor: number) => {
      for (let time = 0; time < 10; time += 1) {
        const editor = await joinAs(protocol, url, `doc/busy ${time % 2}`);
        editor.doc.getMap('visits').set(`${visitor} ${time}`, true);
        if (await editor.ack()) acked.push(`${visitor} ${time}`);
        editor.client.socket.terminate();
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, visitor) => visit(visitor)));
    expect(acked).toHaveLength(80);
    await documentsBecome(url, 0);
    const database = await openStorage(storage);
    const stored = await Promise.all([0, 1].map((index) => rebuild(database, `doc/busy ${index}`)));
    const isStored = (key: string) => stored.some((doc) => doc?.getMap('visits').has(key));
    expect(acked.filter((key) => !isStored(key))).toEqual([]);
  });

  test('[D5] edits that arrive while it is opening are applied in their order', async () => {
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    const { url } = await startServer({
      onLoad: async () => {
        await opened;
        return null;
      },
    });
    const editor = await joinAs(protocol, url, 'doc/early');
    for (const letter of 'abc') editor.type(letter);
    open();
    for (let ack = 0; ack < 3; ack += 1) expect(await editor.ack()).toBe(true);
    expect(textOf(await editor.ask())).toBe('abc');
  });

  test('[D5] more than the limit closes the socket with 1013', async () => {
    const { url } = await startServer({ limitWaitingBytes: 10_000, onLoad: () => new Promise(() => {}) });
    const editor = await joinAs(protocol, url, 'doc/eager');
    editor.type('x'.repeat(20_000));
    expect(await editor.client.closed()).toEqual({ code: 1013, reason: 'too_many_waiting' });
  });

  test('[D5] so does what is more than the limit of all sockets together, but for a little of each', async () => {
    const { url } = await startServer({ limitQueueBytes: 200_000, onLoad: () => new Promise(() => {}) });
    const join = (name: string) => joinAs(protocol, url, `doc/${name}`);
    const first = await join('first');
    first.type('x'.repeat(200_000));
    await delivered(url);
    const small = await join('small');
    small.type('x'.repeat(20_000));
    const large = await join('large');
    large.type('x'.repeat(200_000));
    expect(await large.client.closed()).toEqual({ code: 1013, reason: 'too_many_waiting' });
    await delivered(url);
    expect(small.client.socket.readyState).toBe(WebSocket.OPEN);
    first.client.socket.terminate();
    await first.client.closed();
    await delivered(url);
    const later = await join('later');
    later.type('x'.repeat(200_000));
    await delivered(url);
    expect(later.client.socket.readyState).toBe(WebSocket.OPEN);
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    '[D6] %s is an ordinary name',
    async (name) => {
      const storage = await createStorage('postgres');
      const { url } = await startServer(storage);
      const editor = await joinAs(protocol, url, name);
      editor.type('ordinary');
      expect(await editor.ack()).toBe(true);
      const stored = await rebuild(await openStorage(storage), name);
      expect(stored && textOf(stored)).toBe('ordinary');
    },
  );

  test('[S4] a damaged row is left out, and the rest opens', async () => {
    const storage = await createStorage('postgres');
    const { url, log } = await startServer(storage);
    await storeText(url, 'doc/damaged', 'whole');
    await query(
      storage,
      `insert into indelible.updates (document, created_at, checksum, update)
         select id, now(), 1, $1 from indelible.documents`,
      [updateOf('damaged')],
    );
    const editor = await joinAs(protocol, url, 'doc/damaged');
    expect(textOf(await editor.ask())).toBe('whole');
    expect(log.some(({ level, document }) => level >= 50 && document === 'doc/damaged')).toBe(true);
  });

  test('[S4] a row that does not apply is left out, and the rest opens', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    await storeText(url, 'doc/undecodable', 'whole');
    await insertRows(await openStorage(storage), 'doc/undecodable', [new Uint8Array([1, 2, 3])]);
    const editor = await joinAs(protocol, url, 'doc/undecodable');
    expect(textOf(await editor.ask())).toBe('whole');
  });

  test('[S5] a damaged snapshot keeps it closed with 4503, untouched, until it is mended', async () => {
    const storage = await createStorage('postgres');
    const { url } = await startServer(storage);
    await storeText(url, 'doc/broken', 'precious');
    await query(
      storage,
      `insert into indelible.snapshots (document, checksum, state) select id, 1, $1 from indelible.documents`,
      [updateOf('damaged')],
    );
    for (let time = 0; time < 2; time += 1) {
      const editor = await joinAs(protocol, url, 'doc/broken');
      editor.type('must not be written');
      expect(await editor.client.closed()).toEqual({ code: 4503, reason: 'document_unavailable' });
      expect(editor.acks()).toEqual([]);
    }
    await query(storage, 'delete from indelible.snapshots');
    const editor = await joinAs(protocol, url, 'doc/broken');
    expect(textOf(await editor.ask())).toBe('precious');
  });
});

test('[D3] a load that fails leaves no document and no timer behind, and the next open works', async () => {
  let fail = true;
  const timers = vi.spyOn(globalThis, 'setInterval');
  const cleared = vi.spyOn(globalThis, 'clearInterval');
  try {
    const { url } = await startServer({
      onLoad: async () => {
        if (fail) throw new Error('not today');
        return updateOf('welcome');
      },
    });
    timers.mockClear();
    const editor = await joinAs('y-websocket', url, 'doc/fails');
    expect((await editor.client.closed()).code).toBe(4503);
    expect(await valueOf(url, 'indelible_documents')).toBe(0);
    const started = timers.mock.results.map(({ value }) => value as unknown);
    const stopped = () => new Set(cleared.mock.calls.map(([timer]) => timer as unknown));
    expect(started.length, 'the awareness of the document, and the session').toBeGreaterThanOrEqual(2);
    await vi.waitFor(() => expect(started.filter((timer) => !stopped().has(timer))).toEqual([]));
    fail = false;
    const again = await joinAs('y-websocket', url, 'doc/fails');
    expect(textOf(await again.ask())).toBe('welcome');
  } finally {
    timers.mockRestore();
    cleared.mockRestore();
  }
});

const STORED = `select (select count(*)::int from indelible.updates) as tail,
  (select count(*)::int from indelible.snapshots) as snapshots`;

test('[S10] a long tail is folded when the last one leaves, though nobody has typed', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer(storage);
  const database = await openStorage(storage);
  const type = typist();
  const updates = Array.from({ length: 120 }, (_, edit) => type(`${edit} `));
  await insertRows(database, 'doc/read', updates);
  const reader = await joinAs('y-websocket', url, 'doc/read');
  const text = textOf(await reader.ask());
  reader.client.socket.close();
  await documentsBecome(url, 0);
  expect((await database.queries.query(STORED)).rows).toEqual([{ tail: 0, snapshots: 1 }]);
  const again = await joinAs('hocuspocus', url, 'doc/read');
  expect(textOf(await again.ask())).toBe(text);
});

test('[S10] a long tail is folded at store time, and loads the same', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer(storage);
  const editor = await joinAs('y-websocket', url, 'doc/long');
  // One after the other: what comes together is one row.
  for (let edit = 0; edit < 120; edit += 1) {
    editor.type(`${edit} `);
    await editor.ack();
  }
  editor.client.socket.close();
  await documentsBecome(url, 0);
  const { rows } = await (await openStorage(storage)).queries.query(STORED);
  expect(rows).toEqual([{ tail: 0, snapshots: 1 }]);
  const again = await joinAs('hocuspocus', url, 'doc/long');
  expect(textOf(await again.ask())).toBe(textOf(editor.doc));
});

test('[S10] a short tail is left', async () => {
  const storage = await createStorage('postgres');
  const { url } = await startServer(storage);
  await storeText(url, 'doc/short', 'short');
  const { rows } = await (await openStorage(storage)).queries.query('select 1 from indelible.updates');
  expect(rows).toHaveLength(1);
});

test('[S11] onLoad gives the first content once, though several instances open the document at once', async () => {
  const storage = await createStorage('postgres');
  let asked = 0;
  const onLoad = async () => {
    asked += 1;
    const doc = new Y.Doc();
    doc.getText('content').insert(0, 'template');
    return doc;
  };
  const servers = await Promise.all([1, 2, 3].map(() => startServer({ ...storage, onLoad })));
  const editors = await Promise.all(servers.map(({ url }) => joinAs('y-websocket', url, 'doc/seeded')));
  for (const editor of editors) expect(textOf(await editor.ask())).toBe('template');
  const stored = await rebuild(await openStorage(storage), 'doc/seeded');
  expect(stored && textOf(stored)).toBe('template');

  const before = asked;
  const { url } = await startServer({ ...storage, onLoad });
  const later = await joinAs('y-websocket', url, 'doc/seeded');
  expect(textOf(await later.ask())).toBe('template');
  expect(asked, 'not asked for what is stored').toBe(before);
});

test.each([
  ['throws', () => Promise.reject(new Error('the template is gone'))],
  ['gives bytes that do not apply', async () => new Uint8Array([1, 2, 3])],
])('[S11] an onLoad that %s refuses the document with 4503, and stores nothing', async (_what, broken) => {
  const storage = await createStorage('postgres');
  const broke = await startServer({ ...storage, onLoad: broken });
  const editor = await joinAs('y-websocket', broke.url, 'doc/broken seed');
  expect(await editor.client.closed()).toEqual({ code: 4503, reason: 'content_unavailable' });
  const { url } = await startServer({ ...storage, onLoad: async () => updateOf('template') });
  const later = await joinAs('y-websocket', url, 'doc/broken seed');
  expect(textOf(await later.ask())).toBe('template');
});

test('[D7] a document that is refused for now opens later, also on a socket with other documents', async () => {
  let isAway = true;
  const { url } = await startServer({
    auth: ({ document }) => {
      if (document === 'doc/later' && isAway) throw new Error('the user service is away');
      return { user: null, access: 'write' };
    },
  });
  const socket = hocuspocusSocket(url);
  const other = connectHocuspocus(url, 'doc/other', { socket });
  await other.synced();
  const later = connectHocuspocus(url, 'doc/later', { socket });
  await other.closed();
  isAway = false;
  await expect.poll(() => later.provider.isSynced, { timeout: 10_000 }).toBe(true);
  other.doc.getText('content').insert(0, 'still here');
  await other.saved();
});
